//! Random histories of an elastic channel's core: every row has an outcome, and every charge is returned.

use proptest::prelude::*;

use super::*;

/// An event of a channel.
#[derive(Debug, Clone, Copy)]
enum Event {
    Append(u64),
    /// The last acknowledgement is dropped.
    DropAck,
    Flush,
    Pass(u32),
    /// The n-th request under way is answered.
    Answer(usize, u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u64..300).prop_map(Event::Append),
        1 => Just(Event::DropAck),
        2 => Just(Event::Flush),
        2 => (0u32..60).prop_map(Event::Pass),
        6 => (0usize..4, prop_oneof![Just(200u16), Just(0), Just(429), Just(400), Just(401), Just(413)])
            .prop_map(|(n, status)| Event::Answer(n, status)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_append_has_one_outcome_and_no_row_is_lost_or_held(
        events in proptest::collection::vec(event(), 0..60),
        requests in 1usize..4,
    ) {
        let mut rig = Rig::new(requests);
        let (mut now, mut sent, mut dropped) = (rig.start, Vec::new(), 0);
        let (mut appended, mut accepted, mut reported) = (0, 0, Vec::new());
        for event in events {
            match event {
                Event::Append(rows) => {
                    rig.append(now, rows);
                    appended += rows;
                }
                Event::DropAck => match rig.acks.pop().map(|mut ack| ack.try_recv()) {
                    Some(Ok(outcome)) => reported.extend(outcome.err()),
                    gone => dropped += gone.iter().count(),
                },
                Event::Flush => rig.core.flush(),
                Event::Pass(seconds) => now += seconds * SECOND,
                Event::Answer(n, status) if n < sent.len() => {
                    let order: Sent = sent.remove(n);
                    let answer = match status {
                        200 => Ok(()),
                        0 => Err(unanswered()),
                        429 => Err(throttled(None)),
                        status => Err(refused(status)),
                    };
                    if status == 200 {
                        let frame = crate::compress::frame::decompress(&order.1.body, order.1.uncompressed_len);
                        accepted += frame.unwrap().split(|b| *b == b'\n').count() as u64 - 1;
                    }
                    rig.answer(now, &order, answer);
                }
                Event::Answer(..) => {}
            }
            while let Action::Send(flight, request) = rig.poll(now) {
                sent.push((flight, request));
                prop_assert!(sent.len() <= requests);
            }
        }
        rig.core.stop(&Error::new(ErrorKind::ClientClosed, "over"));
        rig.sums_up();
        let (_, _, mut failed) = rig.core.failures();
        let kept = rig.unheard + failed.len();
        prop_assert_eq!(kept, dropped, "outcomes of dropped acknowledgements are kept or counted");
        failed.append(&mut reported);
        for ack in &mut rig.acks {
            failed.extend(ack.try_recv().unwrap().err());
        }
        let back: u64 = failed.iter().map(|f| f.rows().unwrap().len()).sum();
        prop_assert_eq!(back + accepted, appended);
        drop(failed);
        prop_assert_eq!(rig.budget.in_use(), 0);
    }
}
