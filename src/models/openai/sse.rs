//! Server-sent events as far as streams of completions use them: the `data` of each event, in order.
//!
//! WHATWG HTML, 9.2.6: lines end in LF, CR or CRLF, an empty line ends an event, a colon begins a comment. Event names,
//! ids and retry times are skipped. Bytes come as the network cuts them; one event is bounded.

use std::collections::VecDeque;

/// An event holds one delta, a few hundred bytes; this leaves room for odd servers and none for a flood.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// An event that is longer than [`MAX_EVENT_BYTES`] or not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub struct BadEvent;

/// Turns bytes into events.
#[derive(Default)]
pub struct Decoder {
    line: Vec<u8>,
    after_carriage_return: bool,
    data: Option<String>,
    events: VecDeque<String>,
}

impl Decoder {
    /// Takes in what came.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), BadEvent> {
        for byte in bytes {
            let second_half = self.after_carriage_return && *byte == b'\n';
            self.after_carriage_return = *byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => self.end_line()?,
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > MAX_EVENT_BYTES {
                return Err(BadEvent);
            }
        }
        Ok(())
    }

    /// The stream has ended; some servers leave the last event without its empty line.
    pub fn finish(&mut self) -> Result<(), BadEvent> {
        self.end_line()?;
        self.end_event();
        Ok(())
    }

    /// The data of the next whole event.
    pub fn next_event(&mut self) -> Option<String> {
        self.events.pop_front()
    }

    fn end_line(&mut self) -> Result<(), BadEvent> {
        let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| BadEvent)?;
        if line.is_empty() {
            self.end_event();
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(())
    }

    fn end_event(&mut self) {
        self.events.extend(self.data.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\r\ndata: {\"a\":\ndata: 1}\n\nevent: x\rdata:Grüße\r\rid: 7\n\ndata: [DONE]";

    fn events(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
        let mut decoder = Decoder::default();
        pieces.for_each(|piece| decoder.feed(&piece).unwrap());
        decoder.finish().unwrap();
        std::iter::from_fn(|| decoder.next_event()).collect()
    }

    #[test]
    fn events_are_the_same_however_the_network_cuts_them() {
        for size in 1..STREAM.len() {
            let pieces = STREAM.as_bytes().chunks(size).map(<[u8]>::to_vec);
            assert_eq!(events(pieces), ["{\"a\":\n1}", "Grüße", "[DONE]"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut decoder = Decoder::default();
        let line = format!("data: {}\n", "x".repeat(1_000));
        let refused = (0..2_000).find(|_| decoder.feed(line.as_bytes()).is_err());
        assert!(refused.is_some_and(|lines| lines < 1_100), "{refused:?}");
        assert_eq!(Decoder::default().feed(b"data: \xff\n"), Err(BadEvent));
    }
}
