//! Where quotes stand: the page of each.

use uuid::Uuid;

use super::{StoreError, Workspace};

/// The beginning of a quote, in characters of its document's text.
#[derive(Debug, Clone, Copy)]
pub struct QuoteStart {
    pub chunk_id: Uuid,
    pub start: i32,
}

impl Workspace {
    /// The page of each, in the same order; `None` for documents without pages and for chunks that are gone.
    pub async fn pages_of_quotes(&mut self, starts: &[QuoteStart]) -> Result<Vec<Option<i32>>, StoreError> {
        let chunks: Vec<Uuid> = starts.iter().map(|quote| quote.chunk_id).collect();
        let places: Vec<i32> = starts.iter().map(|quote| quote.start).collect();
        // Pages start at bytes of the text.
        let pages = sqlx::query_scalar(
            r#"select (
                   select max((page.value ->> 'number')::integer)
                   from document_chunks k
                   join document_contents c on c.document_id = k.document_id
                   cross join lateral (select octet_length(left(c.text, q.start)) as byte offset 0) place
                   cross join lateral jsonb_array_elements(c.pages) page (value)
                   where k.id = q.chunk_id and (page.value ->> 'start')::bigint <= place.byte
               )
               from unnest($1::uuid[], $2::integer[]) with ordinality q (chunk_id, start, place)
               order by q.place"#,
        )
        .bind(chunks)
        .bind(places)
        .fetch_all(self.connection())
        .await?;
        Ok(pages)
    }
}
