//! How the body of an upload comes in. A client may be slow; it may not be silent, trickle, or go on for ever.
//!
//! [`watch`] wraps a body: once its client breaks a bound, whoever reads it gets an error, and [`Receipt::problem`] says
//! what was wrong. Only the time counts in which somebody waits for the client: a slow storage is not its fault. A body
//! that is refused half-way is read on for a moment, so that its client hears why.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, BodyDataStream},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep},
};

use super::problem::{Code, Problem};

/// What a client must keep to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long it may send nothing; and of every such span of waiting it must bring [`LEAST_RATE`].
    pub silence: Duration,
    /// For all of it.
    pub whole: Duration,
}

/// Bytes a second. Slower than any line that somebody uploads over, and enough to end what trickles.
const LEAST_RATE: f64 = 1024.0;
/// What a form may bring before a part begins, and the header of a part: the reader of forms holds both in memory.
const MOST_HEADER: usize = 64 << 10;

/// Many clients send all before they listen, and a connection that is closed meanwhile takes the answer with it. So much is
/// read on, and thrown away, of what is refused.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 << 20;

/// What is known of a body while it comes in.
#[derive(Debug, Clone, Default)]
pub struct Receipt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    fault: OnceLock<Fault>,
    in_header: AtomicBool,
    /// Bytes since the header began.
    header: AtomicUsize,
}

/// The bound that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("less than 1 KiB a second came for {} s", .0.as_secs_f32())]
    Slow(Duration),
    #[error("the upload was not whole after {} s", .0.as_secs_f32())]
    Endless(Duration),
    #[error("no part begins within {MOST_HEADER} bytes")]
    Header,
}

/// `body`, which ends in an error when `bounds` are broken.
pub fn watch(body: Body, bounds: Bounds) -> (Body, Receipt) {
    let receipt = Receipt::default();
    let end = Instant::now() + bounds.whole;
    let watched = Watched {
        body: Some(body.into_data_stream()),
        receipt: receipt.clone(),
        bounds,
        end,
        timer: Box::pin(tokio::time::sleep_until(end)),
        waiting: None,
        waited: Duration::ZERO,
        brought: 0,
        gave: false,
    };
    (Body::from_stream(watched), receipt)
}

impl Receipt {
    /// Why the body ended, when its client is to blame.
    pub fn problem(&self) -> Option<Problem> {
        let fault = self.0.fault.get()?;
        let code = if *fault == Fault::Header { Code::MalformedRequest } else { Code::TooSlow };
        Some(Problem::new(code, format!("The upload was given up: {fault}.")))
    }

    /// Waits for the next part of a form: from here on its header counts.
    pub async fn next_part<T>(&self, next: impl Future<Output = T>) -> T {
        self.0.header.store(0, Ordering::Relaxed);
        self.0.in_header.store(true, Ordering::Relaxed);
        let part = next.await;
        self.0.in_header.store(false, Ordering::Relaxed);
        part
    }

    fn came(&self, bytes: usize) {
        self.0.header.fetch_add(bytes, Ordering::Relaxed);
    }

    fn header_is_too_long(&self) -> bool {
        self.0.in_header.load(Ordering::Relaxed) && self.0.header.load(Ordering::Relaxed) > MOST_HEADER
    }
}

struct Watched {
    /// Until its end.
    body: Option<BodyDataStream>,
    receipt: Receipt,
    bounds: Bounds,
    end: Instant,
    timer: Pin<Box<Sleep>>,
    /// Since when the next bytes are waited for.
    waiting: Option<Instant>,
    /// What was waited in this span, and what it brought.
    waited: Duration,
    brought: usize,
    gave: bool,
}

impl Stream for Watched {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(fault) = self.receipt.0.fault.get() {
            return Poll::Ready(Some(Err((*fault).into())));
        }
        // One piece at a time: a reader that takes what there is, as that of forms does, looks at it before it takes more.
        if std::mem::take(&mut self.gave) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.receipt.header_is_too_long() {
            return self.fail(Fault::Header);
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match body.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(bytes))) => match self.note(bytes.len()) {
                Some(fault) => self.fail(fault),
                None => Poll::Ready(Some(Ok(bytes))),
            },
            Poll::Ready(end) => {
                self.body = None;
                Poll::Ready(end.map(|piece| piece.map_err(Into::into)))
            }
            Poll::Pending => {
                let fault = ready!(self.wait(context));
                self.fail(fault)
            }
        }
    }
}

impl Watched {
    fn fail(&self, fault: Fault) -> Poll<Option<Result<Bytes, BoxError>>> {
        Poll::Ready(Some(Err((*self.receipt.0.fault.get_or_init(|| fault)).into())))
    }

    /// Bytes came.
    fn note(&mut self, bytes: usize) -> Option<Fault> {
        self.gave = true;
        self.receipt.came(bytes);
        self.brought += bytes;
        let now = Instant::now();
        if now >= self.end {
            return Some(Fault::Endless(self.bounds.whole));
        }
        self.waited += self.waiting.take().map_or(Duration::ZERO, |since| now - since);
        if self.waited < self.bounds.silence {
            return None;
        }
        let too_little = (self.brought as f64) < LEAST_RATE * self.waited.as_secs_f64();
        (self.waited, self.brought) = (Duration::ZERO, 0);
        too_little.then_some(Fault::Slow(self.bounds.silence))
    }

    /// Nothing is there yet; ready when that has lasted too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        if self.waiting.is_none() {
            let now = Instant::now();
            self.waiting = Some(now);
            let until = (now + self.bounds.silence).min(self.end);
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(context));
        let endless = Instant::now() >= self.end;
        Poll::Ready(if endless { Fault::Endless(self.bounds.whole) } else { Fault::Silent(self.bounds.silence) })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let gave_up = self.receipt.0.fault.get().is_some_and(|fault| *fault != Fault::Header);
        if let (Some(mut body), false, Ok(runtime)) = (self.body.take(), gave_up, Handle::try_current()) {
            runtime.spawn(async move {
                let mut left = LINGER_BYTES;
                let read_on = async {
                    while let Some(Ok(bytes)) = body.next().await
                        && bytes.len() <= left
                    {
                        left -= bytes.len();
                    }
                };
                let _ = tokio::time::timeout(LINGER, read_on).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Bounds = Bounds { silence: Duration::from_millis(100), whole: Duration::from_millis(400) };

    /// Pieces of `size` bytes, each after a `pause`, for ever or `count` times.
    fn pieces(size: usize, pause: Duration, count: usize) -> Body {
        Body::from_stream(futures::stream::unfold(0, move |sent| async move {
            if sent == count {
                return None;
            }
            tokio::time::sleep(pause).await;
            Some((Ok::<_, BoxError>(Bytes::from(vec![b'a'; size])), sent + 1))
        }))
    }

    /// The bytes that come, and the problem that ends them.
    async fn read(body: Body, bounds: Bounds) -> (usize, Option<Code>) {
        let (body, receipt) = watch(body, bounds);
        let mut body = body.into_data_stream();
        let mut bytes = 0;
        while let Some(Ok(piece)) = body.next().await {
            bytes += piece.len();
        }
        (bytes, receipt.problem().map(|problem| problem.code))
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn a_body_that_comes_steadily_is_left_alone() {
        let long = Bounds { whole: Duration::from_secs(60), ..SHORT };
        assert_eq!(run(read(pieces(4096, Duration::from_millis(20), 20), long)), (20 * 4096, None));
        assert_eq!(run(read(Body::empty(), SHORT)), (0, None));
    }

    #[test]
    fn a_client_that_falls_silent_trickles_or_goes_on_for_ever_is_cut_off() {
        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, BoxError>>());
        assert_eq!(run(read(silent, SHORT)), (0, Some(Code::TooSlow)));
        let long = Bounds { whole: Duration::from_secs(60), ..SHORT };
        let (bytes, problem) = run(read(pieces(1, Duration::from_millis(60), 1_000), long));
        assert_eq!(problem, Some(Code::TooSlow));
        assert!(bytes <= 4, "it takes two spans at most to see it: {bytes}");
        let (bytes, problem) = run(read(pieces(1 << 16, Duration::from_millis(10), 1_000), SHORT));
        assert_eq!(problem, Some(Code::TooSlow));
        assert!(bytes < 60 << 16, "{bytes}");
    }

    #[test]
    fn the_time_that_the_reader_takes_is_its_own() {
        let read = async {
            let (body, receipt) =
                watch(pieces(1, Duration::ZERO, 3), Bounds { whole: Duration::from_secs(60), ..SHORT });
            let mut body = body.into_data_stream();
            let mut pieces = 0;
            while let Some(Ok(_)) = body.next().await {
                pieces += 1;
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            (pieces, receipt.problem().is_some())
        };
        assert_eq!(run(read), (3, false));
    }

    #[test]
    fn a_header_that_does_not_end_is_refused_early() {
        let refused = async {
            let (body, receipt) = watch(pieces(1 << 12, Duration::ZERO, 10_000), SHORT);
            let mut body = body.into_data_stream();
            let mut bytes = 0;
            let header = async {
                while let Some(Ok(piece)) = body.next().await {
                    bytes += piece.len();
                }
            };
            receipt.next_part(header).await;
            (bytes, receipt.problem().map(|problem| problem.code))
        };
        let (bytes, problem) = run(refused);
        assert_eq!(problem, Some(Code::MalformedRequest));
        assert!((MOST_HEADER..MOST_HEADER + (2 << 12)).contains(&bytes), "{bytes}");
    }
}
