//! How far a run is: a live bar on a terminal, a line now and then otherwise; both on standard error.

use std::{
    cell::{Cell, RefCell},
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub struct Progress {
    /// None: no terminal.
    bar: Option<ProgressBar>,
    files: Cell<u64>,
    sent: Cell<u64>,
    /// Those that need no more waiting: unchanged or failed.
    settled: Cell<u64>,
    /// Of what was sent: in a terminal state, and indexed.
    ended: Cell<u64>,
    indexed: Cell<u64>,
    current: RefCell<String>,
    began: Cell<Instant>,
    said: Cell<Instant>,
}

impl Progress {
    pub fn new() -> Progress {
        let now = Instant::now();
        Progress {
            bar: std::io::stderr().is_terminal().then(bar),
            files: Cell::default(),
            sent: Cell::default(),
            settled: Cell::default(),
            ended: Cell::default(),
            indexed: Cell::default(),
            current: RefCell::default(),
            began: Cell::new(now),
            said: Cell::new(now),
        }
    }

    /// A pass over so many files begins.
    pub fn begin(&self, files: usize) {
        self.files.set(files as u64);
        for count in [&self.sent, &self.settled, &self.ended, &self.indexed] {
            count.set(0);
        }
        self.began.set(Instant::now());
        if let Some(bar) = &self.bar {
            bar.reset();
        }
        self.show();
    }

    pub fn sending(&self, name: String) {
        self.current.replace(name);
        self.show();
    }

    pub fn sent(&self) {
        self.sent.set(self.sent.get() + 1);
        self.show();
    }

    /// So many files are unchanged, or failed before the server had them.
    pub fn settled(&self, files: usize) {
        self.settled.set(self.settled.get() + files as u64);
        self.show();
    }

    /// What the batch says.
    pub fn ingested(&self, indexed: u64, ended: u64) {
        self.indexed.set(indexed);
        self.ended.set(ended);
        self.show();
    }

    /// Leaves the terminal as it was.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&self) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(self.files.get());
                bar.set_position((self.settled.get() + self.ended.get()).min(self.files.get()));
                bar.set_message(format!("{}  {}", self.counts(), self.current.borrow()));
            }
            None if self.said.get().elapsed() >= LINE_EVERY => {
                self.said.set(Instant::now());
                eprintln!("{} of {} files: {}", self.settled.get() + self.sent.get(), self.files.get(), self.counts());
            }
            None => {}
        }
    }

    fn counts(&self) -> String {
        let rate = self.indexed.get() as f64 / self.began.get().elapsed().as_secs_f64().max(0.001);
        format!("{} uploaded, {} indexed, {rate:.1} documents/s", self.sent.get(), self.indexed.get())
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
