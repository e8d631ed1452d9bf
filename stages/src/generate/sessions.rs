//! Who is generated: participants with their class, sex, age and sessions.

use engine::Context;
use engine::seed::Stream;
use rand::Rng;

use super::{CLASSES, GenerateParams};

/// One session to generate.
pub(super) struct Session {
    /// Number of the participant.
    pub(super) number: usize,
    /// Participant, `sub-…`.
    pub(super) participant: String,
    /// Session, `ses-…`.
    pub(super) session: &'static str,
    /// Index of the class.
    pub(super) class: usize,
    /// `F` or `M`.
    pub(super) sex: char,
    /// Age in years.
    pub(super) age: f64,
}

/// Everything random about a participant comes from its own stream, whoever else there is.
pub(super) fn stream(context: &Context, number: usize) -> Stream {
    context.stream().child("participant").child(number)
}

/// The sessions of all participants, in order.
pub(super) fn draw(params: &GenerateParams, context: &Context) -> Vec<Session> {
    let mut sessions = Vec::new();
    for number in 0..params.n_participants {
        let mut rng = stream(context, number).child("demographics").rng();
        let age = f64::from(rng.random_range(600..850_u32)) / 10.0;
        let follow_up = rng.random_bool(params.follow_up_fraction.clamp(0.0, 1.0));
        let session = |session, age| Session {
            number,
            participant: format!("sub-TRIV{number:03}"),
            session,
            class: number % CLASSES.len(),
            // Alternates in pairs: each class has as many of either sex.
            sex: if number / 2 % 2 == 0 { 'F' } else { 'M' },
            age,
        };
        sessions.push(session("ses-M000", age));
        if follow_up {
            sessions.push(session("ses-M012", age + 1.0));
        }
    }
    sessions
}
