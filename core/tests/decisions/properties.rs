//! Arbitrary lives of a session, held against the reference.

use proptest::{collection::vec, prelude::*};

use crate::{
    acts::{Act, act, bounds},
    life::Life,
};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_life_of_a_session_keeps_the_invariants(
        bounds in bounds(),
        life in vec(act(), 1..60),
    ) {
        let mut session = Life::new(bounds);
        session.act(Act::Open(1));
        session.live(life);
    }
}
