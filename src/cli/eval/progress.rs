//! How far an evaluation is: a live bar on a terminal, a line now and then otherwise; both on standard error.

use std::{
    cell::Cell,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub struct Progress {
    /// None: no terminal.
    bar: Option<ProgressBar>,
    what: String,
    all: u64,
    done: Cell<u64>,
    said: Cell<Instant>,
}

impl Progress {
    /// `all` things are to be done, each of which is `what` afterwards: "uploaded", say.
    pub fn of(what: &str, all: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| bar(all as u64));
        if let Some(bar) = &bar {
            bar.set_message(what.to_owned());
        }
        Progress { bar, what: what.to_owned(), all: all as u64, done: Cell::default(), said: Cell::new(Instant::now()) }
    }

    pub fn one_more(&self) {
        self.reached(self.done.get() + 1);
    }

    pub fn reached(&self, done: u64) {
        self.done.set(done);
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.said.get().elapsed() >= LINE_EVERY => {
                self.said.set(Instant::now());
                eprintln!("{done} of {} {}", self.all, self.what);
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    /// Leaves the terminal as it was.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(all: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(all).with_style(style)
}
