-- What the API needs of a database, a line each: relations, columns, constraints, functions, triggers, rights. restore compares
-- a database that it read from a file with one that the migrations have just made; whatever is missing is named.
set search_path = ''; -- names bear their schema
with relations as (
  select c.* from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
  where n.nspname = 'public' and relkind in ('r', 'p', 'v', 'm', 'S')
), rights(what, acl) as (
  select oid::regclass::text, coalesce(relacl, pg_catalog.acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)) from relations
  union all
  select attrelid::regclass || '.' || attname, attacl from pg_catalog.pg_attribute where attrelid in (select oid from relations)
  union all
  select 'schema ' || nspname, nspacl from pg_catalog.pg_namespace where nspname = 'public'
  union all
  select 'the database', datacl from pg_catalog.pg_database where datname = pg_catalog.current_database()
  union all
  select oid::regprocedure::text, coalesce(proacl, pg_catalog.acldefault('f', proowner)) from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace
)
select 'table, view or sequence ' || oid::regclass from relations
union
select 'column ' || attrelid::regclass || '.' || attname || ' ' || pg_catalog.format_type(atttypid, atttypmod)
    || case when attnotnull then ' not null' else '' end || coalesce(' default ' || pg_catalog.pg_get_expr(adbin, adrelid), '')
    || case attidentity when '' then '' else ' identity' end
  from pg_catalog.pg_attribute left join pg_catalog.pg_attrdef on adrelid = attrelid and adnum = attnum
  where attnum > 0 and not attisdropped and attrelid in (select oid from relations)
union
select 'constraint on ' || conrelid::regclass || ': ' || pg_catalog.pg_get_constraintdef(oid)
  from pg_catalog.pg_constraint where contype <> 'n' and conrelid in (select oid from relations)
union
select pg_catalog.pg_get_indexdef(indexrelid) from pg_catalog.pg_index where indisunique and indrelid in (select oid from relations)
union
select 'function ' || oid::regprocedure from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace
union
select pg_catalog.pg_get_triggerdef(oid) from pg_catalog.pg_trigger where not tgisinternal and tgrelid in (select oid from relations)
union
select 'the right of ' || rolname || ' to ' || privilege_type || ': ' || what
  from rights, pg_catalog.aclexplode(acl) join pg_catalog.pg_roles on pg_roles.oid = grantee where not rolsuper
