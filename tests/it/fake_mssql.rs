//! An SQL Server for tests, as far as TDS 7.4 goes (MS-TDS): strict with its clients, and broken on purpose when a
//! script says so.
//!
//! It takes one login, checks every message to the bit (packets, lengths, the transaction a request claims to be in, the
//! reset of a session before its next use), and knows the two batches that every use begins and ends with. Everything
//! else must be the script's next request, word for word; what is not is answered with an error and remembered as a
//! complaint, which fails the test when the server is dropped, as does a script that was not used up. What it cannot
//! show is whether a real server agrees with the statements.

pub mod tokens;
mod transport;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::tokens::{Cell, Column, Login, Reader};
pub use self::transport::Encryption;
use self::transport::{Connection, Message};

pub const USER: &str = "almanac_reader";
pub const PASSWORD: &str = "p@ss: wörd";
pub const DATABASE: &str = "shop";

/// What the client must ask next.
#[derive(Debug, Clone)]
pub enum Request {
    /// A batch in which these words stand, in this order.
    Batch(&'static [&'static str]),
    /// Exactly this batch.
    Text(String),
    /// Exactly this text as the only parameter of `sp_executesql`.
    Call(String),
}

/// What it gets.
#[derive(Debug, Clone)]
pub enum Reply {
    Done,
    Rows(Vec<Column>, Vec<Vec<Cell>>),
    /// Two results of one statement.
    Twice(Vec<Column>, Vec<Vec<Cell>>),
    /// Number, severity, words.
    Error(u32, u8, &'static str),
    /// Some rows, and then an error.
    RowsThenError(Vec<Column>, Vec<Vec<Cell>>, u32, &'static str),
    /// Nothing, until the client gives up.
    Silence,
    /// Half of a row, and the connection is gone.
    CutInRow(Vec<Column>, Vec<Cell>),
    /// The connection is gone.
    Vanish,
    /// The same row again and again, with a pause before each.
    Endless(Vec<Column>, Vec<Cell>, Duration),
    /// One cell of so many bytes.
    Huge(usize),
    /// What no server sends.
    Bytes(&'static [u8]),
}

/// How a client that connects is met.
#[derive(Debug, Clone)]
pub enum Greeting {
    Well(Encryption),
    /// Says nothing to the first message.
    Silence,
    /// Says nothing once TLS should begin.
    SilenceAtTls,
    Bytes(&'static [u8]),
    /// Sends the client to another server after its login.
    Route(String, u16),
}

/// A running server; ends when it is dropped.
pub struct FakeMssql {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    greeting: Greeting,
    /// How often all idle sessions were to be closed.
    hang_up: watch::Sender<usize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    script: VecDeque<(Request, Reply)>,
    complaints: Vec<String>,
    settings: Vec<String>,
    logins: usize,
    attentions: usize,
    closed: usize,
    resets: usize,
    /// Uses of sessions that have not ended.
    uses: usize,
}

impl FakeMssql {
    pub async fn start() -> FakeMssql {
        Self::greeting(Greeting::Well(Encryption::NotSupported)).await
    }

    pub async fn greeting(greeting: Greeting) -> FakeMssql {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { greeting, hang_up: watch::Sender::new(0), state: Mutex::default() });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        FakeMssql { address, shared, server }
    }

    pub fn url(&self) -> String {
        self.url_with("encrypt=off")
    }

    pub fn url_with(&self, parameters: &str) -> String {
        format!("mssql://{USER}:p%40ss%3A%20w%C3%B6rd@{}/{DATABASE}?{parameters}", self.address)
    }

    pub fn expect(&self, request: Request, reply: Reply) {
        self.state().script.push_back((request, reply));
    }

    /// The batches that uses of a session began with.
    pub fn settings(&self) -> Vec<String> {
        self.state().settings.clone()
    }

    pub fn logins(&self) -> usize {
        self.state().logins
    }

    /// Sessions that were told to stop what they ran.
    pub fn attentions(&self) -> usize {
        self.state().attentions
    }

    pub fn resets(&self) -> usize {
        self.state().resets
    }

    /// Closes the sessions that nobody uses.
    pub fn hang_up(&self) {
        self.shared.hang_up.send_modify(|times| *times += 1);
    }

    /// Waits until so many connections have ended.
    pub async fn closed(&self, connections: usize) {
        self.becomes(&format!("{connections} ended"), |state| state.closed >= connections).await;
    }

    /// Waits until no session is in use, and the client has heard so.
    pub async fn rested(&self) {
        self.becomes("nothing in use", |state| state.uses == 0).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    async fn becomes(&self, what: &str, holds: impl Fn(&State) -> bool) {
        for _ in 0..500 {
            if holds(&self.state()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("in vain: {what}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("a lock")
    }
}

impl Drop for FakeMssql {
    fn drop(&mut self) {
        self.server.abort();
        if !std::thread::panicking() {
            let complaints = self.state().complaints.clone();
            let script = self.state().script.clone();
            assert_eq!(complaints, Vec::<String>::new());
            assert!(script.is_empty(), "nobody asked for {script:?}");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let ended = Session::new(Arc::clone(&shared)).serve(socket).await;
            let mut state = shared.state.lock().expect("a lock");
            state.closed += 1;
            match ended {
                Err(Ending::Wrong(complaint)) => state.complaints.push(complaint),
                Err(Ending::Gone) | Ok(()) => (),
            }
        });
    }
}

/// Why a connection ended.
enum Ending {
    /// The client did what it must not.
    Wrong(String),
    Gone,
}

impl From<std::io::Error> for Ending {
    fn from(_: std::io::Error) -> Self {
        Ending::Gone
    }
}

fn must(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), Ending> {
    if holds { Ok(()) } else { Err(Ending::Wrong(complaint())) }
}

/// Types of messages.
const BATCH: u8 = 0x01;
const CALL: u8 = 0x03;
const ATTENTION: u8 = 0x06;
const LOGIN: u8 = 0x10;
const PRELOGIN: u8 = 0x12;
/// The bit of a first packet that resets the session.
const RESET: u8 = 0x08;

struct Session {
    shared: Arc<Shared>,
    /// Of the transaction that is open; zero when none is.
    transaction: u64,
    /// The last use is over, and the next must reset the session.
    used: bool,
    in_use: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_use();
    }
}

impl Session {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, transaction: 0, used: false, in_use: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("a lock")
    }

    fn begin_use(&mut self, settings: &str) {
        let mut state = self.shared.state.lock().expect("a lock");
        state.settings.push(settings.to_owned());
        state.uses += usize::from(!std::mem::replace(&mut self.in_use, true));
    }

    fn end_use(&mut self) {
        self.state().uses -= usize::from(std::mem::replace(&mut self.in_use, false));
    }

    async fn serve(mut self, socket: TcpStream) -> Result<(), Ending> {
        let mut connection = Connection::new(socket);
        let encryption = match self.shared.greeting.clone() {
            Greeting::Well(encryption) => encryption,
            Greeting::SilenceAtTls => Encryption::On,
            Greeting::Route(..) => Encryption::NotSupported,
            Greeting::Silence => return silence(&mut connection).await,
            Greeting::Bytes(bytes) => {
                connection.message().await?;
                connection.write_raw(bytes).await?;
                return silence(&mut connection).await;
            }
        };
        if encryption == Encryption::Strict {
            connection.begin_strict_tls().await?;
        }
        let first = connection.message().await?;
        must(first.kind == PRELOGIN, || format!("the first message has the type {}", first.kind))?;
        let wished = tokens::wished_encryption(&first.content).map_err(Ending::Wrong)?;
        connection.answer(tokens::prelogin(encryption)).await?;
        if matches!(self.shared.greeting, Greeting::SilenceAtTls) {
            return silence(&mut connection).await;
        }
        if matches!(encryption, Encryption::Off | Encryption::On | Encryption::Required) {
            if wished == Encryption::NotSupported {
                return Err(Ending::Gone);
            }
            connection.begin_wrapped_tls().await?;
        }
        self.log_in(&mut connection, encryption).await?;
        let mut hang_up = self.shared.hang_up.subscribe();
        loop {
            tokio::select! {
                message = connection.message() => match message? {
                    // One that comes when all is said stops nothing.
                    Message { kind: ATTENTION, .. } => return silence(&mut connection).await,
                    message => self.answer(&mut connection, message).await?,
                },
                _ = hang_up.changed() => return Ok(()),
            }
        }
    }

    async fn log_in(&mut self, connection: &mut Connection, encryption: Encryption) -> Result<(), Ending> {
        let message = connection.message().await?;
        if encryption == Encryption::Off {
            connection.end_tls();
        }
        must(message.kind == LOGIN, || format!("the login has the type {}", message.kind))?;
        let login = Login::read(&message.content).map_err(Ending::Wrong)?;
        must(login.only_reads, || "the login does not say that it only reads".into())?;
        must(login.application == "almanac", || format!("the application is {:?}", login.application))?;
        if (login.user.as_str(), login.password.as_str()) != (USER, PASSWORD) {
            let words = format!("Login failed for user '{}'.", login.user);
            connection.answer(tokens::failed(18456, 14, &words)).await?;
            return Err(Ending::Gone);
        }
        if login.database != DATABASE {
            connection.answer(tokens::failed(4060, 11, "Cannot open database requested by the login.")).await?;
            return Err(Ending::Gone);
        }
        self.state().logins += 1;
        let route = match &self.shared.greeting {
            Greeting::Route(host, port) => Some((host.as_str(), *port)),
            _ => None,
        };
        connection.answer(tokens::logged_in(route)).await?;
        Ok(())
    }

    async fn answer(&mut self, connection: &mut Connection, message: Message) -> Result<(), Ending> {
        let asked = self.asked(&message)?;
        let reset = message.status & RESET != 0;
        must(reset == self.used, || {
            format!("a session was {}reset before {asked:?}", if reset { "" } else { "not " })
        })?;
        self.used = false;
        let mut answer = Vec::new();
        if reset {
            self.state().resets += 1;
            answer.extend(tokens::reset());
        }
        match &asked {
            Request::Text(text) if text.starts_with("set nocount on;") => {
                self.begin_use(text);
                if text.trim_end().ends_with("begin transaction;") {
                    self.transaction = 7;
                    answer.extend(tokens::begun(self.transaction));
                }
                answer.extend(tokens::done());
                Ok(connection.answer(answer).await?)
            }
            Request::Text(text) if text == "if @@trancount > 0 rollback transaction" => {
                if self.transaction != 0 {
                    answer.extend(tokens::rolled_back(self.transaction));
                }
                (self.transaction, self.used) = (0, true);
                self.end_use();
                answer.extend(tokens::done());
                Ok(connection.answer(answer).await?)
            }
            _ => self.scripted(connection, &asked, answer).await,
        }
    }

    fn asked(&self, message: &Message) -> Result<Request, Ending> {
        let mut reader = Reader::new(&message.content);
        let claimed = reader.headers().map_err(Ending::Wrong)?;
        must(claimed == self.transaction, || format!("a request of transaction {claimed}, not {}", self.transaction))?;
        match message.kind {
            BATCH => reader.rest_as_text().map(Request::Text).map_err(Ending::Wrong),
            CALL => reader.execute_sql().map(Request::Call).map_err(Ending::Wrong),
            kind => Err(Ending::Wrong(format!("a message of the type {kind}"))),
        }
    }

    async fn scripted(&mut self, connection: &mut Connection, asked: &Request, head: Vec<u8>) -> Result<(), Ending> {
        let expected = self.state().script.pop_front();
        let Some((_, reply)) = expected.filter(|(request, _)| is_asked(request, asked)) else {
            connection.answer(tokens::failed(50000, 16, "not in the script")).await?;
            return Err(Ending::Wrong(format!("nobody expected {asked:?}")));
        };
        let called = matches!(asked, Request::Call(_));
        match reply {
            Reply::Done => connection.answer([head, tokens::done()].concat()).await?,
            Reply::Rows(columns, rows) => {
                connection.answer([head, tokens::rows(&columns, &rows), tokens::end(called)].concat()).await?;
            }
            Reply::Twice(columns, rows) => {
                let once = tokens::rows(&columns, &rows);
                connection.answer([head, once.clone(), once, tokens::end(called)].concat()).await?;
            }
            Reply::Error(number, class, words) => {
                connection.answer([head, tokens::failed(number, class, words)].concat()).await?;
                must(class < 20, || "a fatal error".into()).map_err(|_| Ending::Gone)?;
            }
            Reply::RowsThenError(columns, rows, number, words) => {
                let failed = tokens::failed(number, 16, words);
                connection.answer([head, tokens::rows(&columns, &rows), failed].concat()).await?;
            }
            Reply::Bytes(bytes) => connection.answer([&head, bytes].concat()).await?,
            Reply::Vanish => return Err(Ending::Gone),
            Reply::CutInRow(columns, row) => {
                let mut half = tokens::rows(&columns, &[row]);
                half.truncate(half.len() - 3);
                connection.part(&[head, half].concat()).await?;
                return Err(Ending::Gone);
            }
            Reply::Silence => return self.stopped(connection).await,
            Reply::Endless(columns, row, pause) => return self.endless(connection, &columns, &row, pause).await,
            Reply::Huge(bytes) => return self.huge(connection, bytes).await,
        }
        Ok(())
    }

    /// The client gives up: it says so, or is just gone.
    async fn stopped(&mut self, connection: &mut Connection) -> Result<(), Ending> {
        let message = connection.message().await?;
        must(message.kind == ATTENTION, || format!("the type {} where only giving up was left", message.kind))?;
        self.state().attentions += 1;
        silence(connection).await
    }

    async fn endless(
        &mut self,
        connection: &mut Connection,
        columns: &[Column],
        row: &[Cell],
        pause: Duration,
    ) -> Result<(), Ending> {
        connection.part(&tokens::rows(columns, &[])).await?;
        let row = tokens::row(columns, row);
        loop {
            // Whoever reads too little to be sent more may still speak.
            tokio::select! {
                stopped = connection.readable() => {
                    stopped?;
                    return self.stopped(connection).await;
                }
                () = tokio::time::sleep(pause) => connection.part(&row).await?,
            }
        }
    }

    async fn huge(&mut self, connection: &mut Connection, bytes: usize) -> Result<(), Ending> {
        connection.part(&tokens::huge_cell_begins()).await?;
        let chunk = tokens::huge_cell_chunk(1 << 20);
        for _ in 0..bytes >> 20 {
            connection.part(&chunk).await?;
        }
        connection.answer([tokens::huge_cell_ends(), tokens::end(true)].concat()).await?;
        Ok(())
    }
}

fn is_asked(expected: &Request, asked: &Request) -> bool {
    match (expected, asked) {
        (Request::Text(expected), Request::Text(asked)) | (Request::Call(expected), Request::Call(asked)) => {
            expected == asked
        }
        (Request::Batch(words), Request::Text(text)) => {
            let mut rest = text.as_str();
            words.iter().all(|word| match rest.find(word) {
                Some(at) => {
                    rest = &rest[at + word.len()..];
                    true
                }
                None => false,
            })
        }
        _ => false,
    }
}

/// Reads until the client is gone, and says nothing.
async fn silence(connection: &mut Connection) -> Result<(), Ending> {
    loop {
        connection.skip().await?;
    }
}
