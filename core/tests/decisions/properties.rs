//! Arbitrary lives of a session, held against the reference.

use proptest::{collection::vec, prelude::*};

use crate::{
    acts::{Act, act, bounds, context},
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
        context in context(),
        life in vec(act(), 1..60),
    ) {
        let mut session = Life::with(bounds, context);
        session.act(Act::Open(1));
        session.live(life);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_same_life_tells_the_same(
        bounds in bounds(),
        context in context(),
        life in vec(act(), 1..60),
    ) {
        let told = || {
            let mut session = Life::with(bounds.clone(), context.clone());
            session.keeps_log = true;
            session.act(Act::Open(1));
            session.live(life.clone());
            session.log
        };
        prop_assert_eq!(told(), told());
    }
}
