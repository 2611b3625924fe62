//! Who is calling and what they may do. A handler that takes `Session<CanWrite>` cannot run without that scope.

use std::{marker::PhantomData, ops::Deref};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use secrecy::SecretString;
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::{
    app::App,
    store::{
        Workspace,
        keys::{Caller, Scope},
    },
};

/// An authenticated caller with scope `S`, and the App that serves it.
pub struct Session<S> {
    pub app: App,
    pub caller: Caller,
    scope: PhantomData<S>,
}

/// A scope as a type.
pub trait Needs {
    const SCOPE: Scope;
}

pub struct CanRead;
pub struct CanWrite;
pub struct CanAsk;
pub struct CanAdminister;

impl Needs for CanRead {
    const SCOPE: Scope = Scope::Read;
}
impl Needs for CanWrite {
    const SCOPE: Scope = Scope::Write;
}
impl Needs for CanAsk {
    const SCOPE: Scope = Scope::Sql;
}
impl Needs for CanAdminister {
    const SCOPE: Scope = Scope::Admin;
}

impl<S> Session<S> {
    /// A transaction on the caller's workspace.
    pub async fn workspace(&self) -> Result<Workspace, Problem> {
        Ok(self.app.store.workspace(self.caller.workspace_id).await?)
    }

    /// The same for reading only, and every statement sees one moment.
    pub async fn snapshot(&self) -> Result<Workspace, Problem> {
        Ok(self.app.store.snapshot(self.caller.workspace_id).await?)
    }

    /// The key whose own things alone may be seen; none for an administrator's.
    pub fn only_own(&self) -> Option<Uuid> {
        (!self.is_administrator()).then_some(self.caller.key_id)
    }

    pub fn is_administrator(&self) -> bool {
        self.caller.scopes.contains(&Scope::Admin)
    }

    pub fn workspace_id(&self) -> Uuid {
        self.caller.workspace_id
    }
}

impl<S> Deref for Session<S> {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl<S: Needs> FromRequestParts<App> for Session<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Session<S>, Problem> {
        let caller = authenticate(parts, app).await?;
        if !caller.may(S::SCOPE) {
            let scope = format!("{:?}", S::SCOPE).to_lowercase();
            return Err(Problem::new(Code::Forbidden, format!("This key lacks the scope \"{scope}\".")));
        }
        Ok(Session { app: app.clone(), caller, scope: PhantomData })
    }
}

/// The caller behind the request's `Authorization: Bearer …`; remembered for whoever asks again in this request.
pub async fn authenticate(parts: &mut Parts, app: &App) -> Result<Caller, Problem> {
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return Ok(caller.clone());
    }
    let key = bearer(parts)
        .ok_or_else(|| Problem::new(Code::Unauthorized, "Send your API key as \"Authorization: Bearer <key>\"."))?;
    let caller =
        app.store.authenticate(&key).await?.ok_or_else(|| {
            Problem::new(Code::Unauthorized, "This API key is not known, was revoked or has expired.")
        })?;
    app.limits.admit(caller.key_id)?;
    parts.extensions.insert(caller.clone());
    Ok(caller)
}

fn bearer(parts: &Parts) -> Option<SecretString> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty()).then(|| SecretString::from(key.trim()))
}
