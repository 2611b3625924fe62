-- What people teach and confirm: drafts of notes, verified examples, feedback; and a history that can be searched.

-- What a language model proposes to say of a table (a TableDraft), until a person accepts or drops it. Nothing reads it
-- to answer a question.
alter table tables add column drafted jsonb;

create table sql_examples (
    id uuid primary key,
    workspace_id uuid not null,
    database_id uuid not null,
    question text not null,
    -- As it was sent, before row filters: it goes through the guard for every caller anew.
    sql text not null,
    -- proposed: waits for an editor; verified: is used; broken: the schema no longer bears it.
    status text not null,
    -- Why it is broken (Violations).
    violations jsonb not null default '[]',
    -- The answer that was confirmed or corrected.
    query_id uuid,
    -- Who wrote it, and who stands for it.
    key_id uuid,
    approved_by uuid,
    approved_at timestamptz,
    -- The question's words, in order and without those that name nothing.
    lexemes text[] not null,
    -- The question's vector, and the model that made it; null where no model could.
    embedding halfvec,
    embedding_model text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_sql_examples_databases_database_id
        foreign key (database_id, workspace_id) references databases (id, workspace_id) on delete cascade,
    constraint fk_sql_examples_sql_queries_query_id foreign key (query_id) references sql_queries (id) on delete set null,
    constraint ck_sql_examples_question check (length(question) between 1 and 2000),
    constraint ck_sql_examples_status check (status in ('proposed', 'verified', 'broken')),
    constraint ck_sql_examples_approved_at check (status = 'proposed' or approved_at is not null),
    constraint ck_sql_examples_embedding check ((embedding is null) = (embedding_model is null))
);
-- One example a question that somebody stands for; of proposals, one a key. By the hash: a question may be longer than an
-- index entry.
create unique index uq_sql_examples_database_id_question on sql_examples (database_id, md5(question))
    where status <> 'proposed';
create unique index uq_sql_examples_database_id_key_id_question
    on sql_examples (database_id, key_id, md5(question)) where status = 'proposed';
create index idx_sql_examples_database_id_id on sql_examples (database_id, id desc);
-- Examples are looked for here when an answer is removed.
create index idx_sql_examples_query_id on sql_examples (query_id);
call protect('sql_examples');

create table feedback (
    id uuid primary key,
    workspace_id uuid not null,
    query_id uuid not null,
    key_id uuid,
    rating text not null,
    comment text,
    corrected_sql text,
    -- The example that it proposes.
    example_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_feedback_sql_queries_query_id foreign key (query_id) references sql_queries (id) on delete cascade,
    constraint fk_feedback_sql_examples_example_id
        foreign key (example_id) references sql_examples (id) on delete set null,
    -- One opinion a key: a newer one replaces it.
    constraint uq_feedback_query_id_key_id unique (query_id, key_id),
    constraint ck_feedback_rating check (rating in ('up', 'down'))
);
create index idx_feedback_example_id on feedback (example_id);
call protect('feedback');

-- What the history is searched by, newest first. Longer texts are cut: a tsvector holds a megabyte. Without an index: under
-- row-level security none would be used, because @@ is not leakproof.
alter table sql_queries
    add column words tsvector generated always as (
        to_tsvector('simple', left(coalesce(question, ''), 20000) || ' ' || left(coalesce(sql, ''), 20000))
    ) stored;

-- Questions and drafts cost what answers cost.
alter table usage_events
    drop constraint ck_usage_events_kind,
    add constraint ck_usage_events_kind check (kind in ('answer', 'question', 'draft'));
