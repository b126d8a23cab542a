"""Questions to the catalog of PostgreSQL about one table; the columns of each answer are the attributes of a fact."""

_ADDRESS = "c.relnamespace::regnamespace::text || '.' || quote_ident(c.relname)"
TABLE = """
SELECT c.oid, c.relname::text AS name, quote_ident(n.nspname) AS schema,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS address, c.relkind::text AS kind,
       quote_ident(pg_get_userbyid(c.relowner)) AS owner, pg_has_role(c.relowner, 'USAGE') AS is_ours,
       pg_get_userbyid(c.relowner) = current_user AS is_owner, obj_description(c.oid, 'pg_class') AS comment,
       c.relreplident::text AS replica_identity,
       (SELECT quote_ident(spcname) FROM pg_tablespace s WHERE s.oid = c.reltablespace) AS tablespace,
       (SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = c.oid AND x.indisreplident) AS replica_index
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(:table)
"""
# A server may keep options of its own beside those that can be set.
COLUMNS = """
SELECT a.attname::text AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS is_not_null,
       a.attidentity <> '' AS is_identity, a.attgenerated <> '' AS is_generated,
       col_description(a.attrelid, a.attnum) AS comment, NULLIF(a.attstattarget, -1)::int AS statistics,
       ARRAY(SELECT option FROM unnest(a.attoptions) option WHERE starts_with(option, 'n_distinct')) AS options
FROM pg_attribute a WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
CONSTRAINTS = f"""
SELECT o.conname::text AS name, o.contype::text AS kind, pg_get_constraintdef(o.oid) AS definition,
       o.convalidated AS is_valid, o.connoinherit AS is_local, obj_description(o.oid, 'pg_constraint') AS comment,
       coalesce(to_jsonb(o) ->> 'conperiod', 'false')::bool AS is_temporal,
       ARRAY(SELECT attname::text FROM unnest(o.conkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute ON attrelid = o.conrelid AND attnum = number ORDER BY place) AS columns,
       (SELECT {_ADDRESS} FROM pg_class c WHERE c.oid = o.confrelid) AS refers_to,
       o.confrelid = o.conrelid AS is_of_itself,
       (SELECT conname::text FROM pg_constraint p WHERE p.oid = o.conparentid) AS parent
FROM pg_constraint o WHERE o.conrelid = :oid AND o.contype <> 't' ORDER BY o.conname
"""
INCOMING = f"""
SELECT o.conname::text AS name, c.relname::text AS table, {_ADDRESS} AS address,
       pg_get_constraintdef(o.oid) AS definition, obj_description(o.oid, 'pg_constraint') AS comment,
       ARRAY(SELECT attname::text FROM unnest(o.confkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute ON attrelid = o.confrelid AND attnum = number ORDER BY place) AS columns,
       pg_has_role(c.relowner, 'USAGE') AS is_ours
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
WHERE o.contype = 'f' AND o.confrelid = :oid AND o.conparentid = 0 ORDER BY 2, 1
"""
INDEXES = """
SELECT i.relname::text AS name, pg_get_indexdef(i.oid) AS definition, x.indisunique AS is_unique,
       x.indisvalid AND x.indisready AND x.indislive AS is_valid, obj_description(i.oid, 'pg_class') AS comment,
       (SELECT quote_ident(spcname) FROM pg_tablespace s WHERE s.oid = i.reltablespace) AS tablespace,
       x.indisclustered AS is_clustered, coalesce(i.reloptions, '{}')::text[] AS options,
       (SELECT conname::text FROM pg_constraint o WHERE o.conindid = i.oid AND o.contype IN ('p', 'u', 'x')
        AND o.conrelid = x.indrelid) AS constraint,
       ARRAY(SELECT coalesce(attname::text, '') FROM unnest(x.indkey) WITH ORDINALITY AS k (number, place)
             LEFT JOIN pg_attribute ON attrelid = x.indrelid AND attnum = number AND number > 0
             WHERE place <= x.indnkeyatts ORDER BY place) AS columns,
       ARRAY(SELECT attname::text FROM unnest(x.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute ON attrelid = x.indrelid AND attnum = number
             WHERE place > x.indnkeyatts ORDER BY place) AS included,
       ARRAY(SELECT format('%s %s', attnum, attstattarget) FROM pg_attribute
             WHERE attrelid = i.oid AND attstattarget >= 0 ORDER BY attnum) AS statistics,
       (SELECT p.relname::text FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent WHERE h.inhrelid = i.oid)
       AS parent
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = :oid ORDER BY 1
"""
TRIGGERS = """
SELECT t.tgname::text AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS enabled,
       obj_description(t.oid, 'pg_trigger') AS comment, (t.tgtype::int & 1)::bool AS is_for_rows,
       t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL AS has_transition_tables
FROM pg_trigger t WHERE t.tgrelid = :oid AND NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY 1
"""
STATISTICS = """
SELECT s.stxname::text AS name, quote_ident(n.nspname) || '.' || quote_ident(s.stxname) AS address,
       quote_ident(n.nspname) AS schema, pg_get_statisticsobjdef(s.oid) AS definition,
       pg_get_statisticsobjdef_columns(s.oid) || ' ' || s.stxkind::text AS shape,
       obj_description(s.oid, 'pg_statistic_ext') AS comment, NULLIF(s.stxstattarget, -1)::int AS target
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = :oid ORDER BY 1
"""
SEQUENCES = f"""
SELECT (SELECT {_ADDRESS} FROM pg_class c WHERE c.oid = d.objid) AS address, a.attname::text AS column
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = :oid
AND d.deptype = 'a' ORDER BY 1
"""
_PUBLICATIONS = """
SELECT p.pubname::text AS name, p.pubviaroot AS is_by_root, r.oid IS NOT NULL AS is_named,
       pg_has_role(p.pubowner, 'USAGE') AS is_ours, quote_ident(pg_get_userbyid(p.pubowner)) AS owner, {parts}
FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = :oid
WHERE r.oid IS NOT NULL OR (p.pubname, (SELECT relname FROM pg_class WHERE oid = :oid)) IN (
    SELECT pubname, tablename FROM pg_publication_tables
    WHERE schemaname = (SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = :oid)
) ORDER BY 1
"""
PUBLICATIONS_OF_14 = _PUBLICATIONS.format(parts="NULL::text[] AS columns, NULL AS filter")
PUBLICATIONS = _PUBLICATIONS.format(
    parts="""(
    SELECT array_agg(attname::text ORDER BY place)
    FROM unnest(r.prattrs::int2[]) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute ON attrelid = r.prrelid AND attnum = number
) AS columns, pg_get_expr(r.prqual, r.prrelid) AS filter"""
)
_ROLES = """
CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee,
quote_ident(pg_get_userbyid(grantor)) AS grantor, privilege_type AS privilege, is_grantable
"""
GRANTS = f"""
SELECT {_ROLES}, NULL AS column FROM pg_class c, aclexplode(coalesce(relacl, acldefault('r', relowner)))
WHERE c.oid = :oid
UNION ALL
SELECT {_ROLES}, attname::text FROM pg_attribute a, aclexplode(attacl)
WHERE attrelid = :oid AND attnum > 0 AND NOT attisdropped
"""
# A default of one schema is added to that of all schemas. The owner's rights go along with the table.
DEFAULTS = f"""
SELECT DISTINCT {_ROLES}, NULL AS column FROM (
    SELECT grantor, CASE grantee WHEN r.oid THEN c.relowner ELSE grantee END AS grantee, privilege_type, is_grantable
    FROM pg_class c, pg_roles r, LATERAL (
        SELECT coalesce(
            (SELECT defaclacl FROM pg_default_acl
             WHERE defaclrole = r.oid AND defaclnamespace = 0 AND defaclobjtype = 'r'),
            acldefault('r', r.oid)
        ) AS acl
        UNION ALL
        SELECT defaclacl FROM pg_default_acl
        WHERE defaclrole = r.oid AND defaclnamespace = c.relnamespace AND defaclobjtype = 'r'
    ) d, aclexplode(d.acl)
    WHERE c.oid = :oid AND r.rolname = current_user
) e
"""
