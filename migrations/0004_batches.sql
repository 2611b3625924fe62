-- Batches to which files may be added one by one, and what was uploaded into each.

-- Null: files may still be added. A batch of one request is closed from the start.
alter table batches add column closed_at timestamptz;
update batches set closed_at = created_at;
-- Rows below refer to both, so that none can point into another workspace.
alter table batches add constraint uq_batches_id_workspace_id unique (id, workspace_id);

-- One row for every uploaded file, whatever becomes of its document later: documents.batch_id names only the batch that
-- put a document into the queue last.
create table batch_documents (
    id uuid not null,
    workspace_id uuid not null,
    batch_id uuid not null,
    -- Null: the document was purged; the row stays, so that a batch never counts fewer files than were uploaded.
    document_id uuid,
    -- Of the document after this upload; a higher one since then supersedes the row.
    version integer not null,
    -- Whether the bytes were here already.
    unchanged boolean not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (batch_id, id),
    constraint fk_batch_documents_batches_batch_id
        foreign key (batch_id, workspace_id) references batches (id, workspace_id) on delete cascade,
    constraint fk_batch_documents_documents_document_id
        foreign key (document_id, workspace_id) references documents (id, workspace_id) on delete set null (document_id)
);
create index idx_batch_documents_document_id on batch_documents (document_id);
call protect('batch_documents');

insert into batch_documents (id, workspace_id, batch_id, document_id, version, unchanged)
select id, workspace_id, batch_id, id, version, false
from documents;

-- The policies asked for the workspace once a row, at about 4 µs each; as a subquery it is asked once a statement.
create or replace procedure protect(relation regclass)
    language plpgsql
    set search_path = public, pg_catalog
as $$
begin
    execute format('alter table %s enable row level security', relation);
    execute format(
        'create policy workspace_isolation on %s using (workspace_id = (select current_workspace()))
         with check (workspace_id = (select current_workspace()))', relation);
    execute format(
        'create trigger set_updated_at before update on %s for each row execute function set_updated_at()', relation);
end
$$;

do $$
declare
    relation regclass;
begin
    for relation in
        select polrelid::regclass
        from pg_policy
        where polname = 'workspace_isolation' and polrelid <> 'workspaces'::regclass
    loop
        execute format(
            'alter policy workspace_isolation on %s using (workspace_id = (select current_workspace()))
             with check (workspace_id = (select current_workspace()))', relation);
    end loop;
end
$$;
