//! What language models take, counted for whoever had them asked.

use super::App;
use crate::{
    models::Usage,
    store::{
        keys::Caller,
        usage::{ModelCall, ModelCallKind},
    },
};

impl App {
    /// Keeps what a call took. What cannot be kept has been answered all the same.
    pub async fn count_model_call(&self, caller: &Caller, kind: ModelCallKind, model: &str, usage: Option<Usage>) {
        let call = ModelCall {
            kind,
            model,
            prompt_tokens: usage.map(|usage| usage.prompt_tokens),
            completion_tokens: usage.map(|usage| usage.completion_tokens),
            key_id: Some(caller.key_id),
        };
        if let Err(error) = self.store.record_model_call(caller.workspace_id, &call).await {
            tracing::warn!(%error, "what a model took could not be kept");
        }
    }
}
