//! Sections survive every content and every way in which bytes arrive.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use proptest::prelude::*;

use super::super::channel::{Channel, ChannelError, Inbox};
use super::super::shell::{Section, Shell, ShellError};

/// Answers with a script of chunks once anything was sent.
struct Scripted {
    chunks: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Channel for Scripted {
    fn exchange(&mut self, out: &[u8], inbox: &mut Inbox, _: Instant) -> Result<usize, ChannelError> {
        match self.chunks.lock().expect("no panic").pop_front() {
            Some(chunk) => inbox.out.extend(chunk),
            None if out.is_empty() => inbox.eof = true,
            None => {}
        }
        Ok(out.len().min(7))
    }

    fn close(&mut self) {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn sections_come_back_as_they_were(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6),
        teasing in any::<bool>(),
        cuts in prop::collection::vec(1usize..40, 1..400),
    ) {
        let chunks = Arc::new(Mutex::new(VecDeque::new()));
        let mut shell = Shell::new(Box::new(Scripted { chunks: chunks.clone() }), false);
        let nonce = shell.nonce.clone();
        let mut bytes = format!("noise\nuid=5(me) gid=5(me)\n/home/me\nboot\nmachine\ntar \n{nonce}= hello\n").into_bytes();
        let mut expected = vec![];
        for (i, body) in bodies.iter().enumerate() {
            let mut body = body.clone();
            if teasing {
                // Almost a marker: the separator of records, and a marker cut short.
                body.extend(format!("{nonce}+{}", &nonce[..20]).into_bytes());
            }
            bytes.extend(&body);
            bytes.extend(format!("{nonce}= t {i}\n").into_bytes());
            expected.push(Section { body, tag: format!("t {i}") });
        }
        let mut at = 0;
        let mut cuts = cuts.iter().cycle();
        while at < bytes.len() {
            let n = (*cuts.next().expect("endless")).min(bytes.len() - at);
            chunks.lock().expect("no panic").push_back(bytes[at..at + n].to_vec());
            at += n;
        }
        shell.request('b', "x", None);
        let mut got = vec![];
        let last = format!("t {}", bodies.len() - 1);
        shell.converse(None, &mut |section| {
            let end = section.tag == last;
            got.push(section);
            Ok(end)
        }).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        prop_assert_eq!(got, expected);
        prop_assert_eq!(shell.hello(None).map(|(h, _)| (h.uid, h.user)).map_err(|_| ()), Ok((5, "me".to_owned())));
        // After the last section the stream ends: told as a loss, not waited for.
        let lost = matches!(shell.converse(None, &mut |_| Ok(false)), Err(ShellError::Lost { .. }));
        prop_assert!(lost);
    }
}
