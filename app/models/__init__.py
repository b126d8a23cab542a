"""The mapped classes. Importing the package fills `Base.metadata`, opens no database and reads no key."""

from app.models.auth import JwtKeyRotation, RevokedToken, ServiceAuditLog, ServiceRegistry, User
from app.models.base import Base
from app.models.client_keys import ApiKey
from app.models.gateway import KeyValue, ModelMapping, ModelMappingProvider, ServiceProvider
from app.models.request_logs import RequestLog, RequestLogDetail

__all__ = [
    "ApiKey",
    "Base",
    "JwtKeyRotation",
    "KeyValue",
    "ModelMapping",
    "ModelMappingProvider",
    "RequestLog",
    "RequestLogDetail",
    "RevokedToken",
    "ServiceAuditLog",
    "ServiceProvider",
    "ServiceRegistry",
    "User",
]
