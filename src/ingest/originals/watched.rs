//! A reader whose error outlives it: whoever hands it on can still tell why it ended.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::OriginalError;

/// Where the error will be.
pub struct Fault(Arc<Mutex<Option<OriginalError>>>);

impl Fault {
    /// What ended the reading, if anything did.
    pub fn take(&self) -> Option<OriginalError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// `reader`, and where to look for its error.
pub fn watched<R: AsyncRead + Unpin + Send>(reader: R) -> (impl AsyncRead + Unpin + Send, Fault) {
    let fault = Arc::new(Mutex::new(None));
    (Watched { reader, fault: Arc::clone(&fault) }, Fault(fault))
}

struct Watched<R> {
    reader: R,
    fault: Arc<Mutex<Option<OriginalError>>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.reader).poll_read(context, buffer));
        Poll::Ready(read.map_err(|error| {
            let kind = error.kind();
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.into());
            kind.into()
        }))
    }
}
