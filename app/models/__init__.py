"""The mapped classes. Importing the package fills `Base.metadata`, opens no database and reads no key."""

from app.models.auth import ServiceAuditLog, ServiceRegistry, User
from app.models.base import Base
from app.models.gateway import ApiKey, ModelMapping, ModelMappingProvider, RequestLog, ServiceProvider

__all__ = [
    "ApiKey",
    "Base",
    "ModelMapping",
    "ModelMappingProvider",
    "RequestLog",
    "ServiceAuditLog",
    "ServiceProvider",
    "ServiceRegistry",
    "User",
]
