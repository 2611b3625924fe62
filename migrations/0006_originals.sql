-- Files in the storage that no document names.

create index idx_documents_original on documents (original);

-- Asked over all workspaces, by the sweep of the storage: of the given files (their workspaces beside them), those that no
-- document names. Files of a workspace that is not here belong to another installation, and are never among them.
create function orphaned_originals(of_workspaces uuid[], originals uuid[])
    returns setof uuid
    language sql stable security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    select stored.original
    from unnest(of_workspaces, originals) as stored (workspace_id, original)
    where exists (select from workspaces w where w.id = stored.workspace_id)
      and not exists (select from documents d where d.original = stored.original);
$$;

revoke execute on function orphaned_originals(uuid[], uuid[]) from public;
grant execute on function orphaned_originals(uuid[], uuid[]) to almanac_server;
