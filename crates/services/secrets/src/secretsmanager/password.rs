//! Random passwords.

use shapes_secretsmanager as shapes;
use terms::IdSource;
use wire::Context;

use super::error::Error;
use crate::Secrets;
use crate::random::Random;

const LENGTH_DEFAULT: i64 = 32;
const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &str = "0123456789";
/// API reference, `ExcludePunctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

impl Secrets {
    /// Makes a password; it is kept nowhere.
    pub(super) async fn get_random_password(
        &self,
        _: Context,
        input: shapes::GetRandomPasswordRequest,
    ) -> Result<shapes::GetRandomPasswordResponse, Error> {
        let password = password(&input, &*self.ids)?;
        Ok(shapes::GetRandomPasswordResponse { random_password: Some(password) })
    }
}

fn password(input: &shapes::GetRandomPasswordRequest, ids: &dyn IdSource) -> Result<String, Error> {
    let excluded = input.exclude_characters.as_deref().unwrap_or_default();
    let class = |characters: &str, leave_out: Option<bool>| -> Vec<char> {
        let is_in = |c: &char| !excluded.contains(*c) && leave_out != Some(true);
        characters.chars().filter(is_in).collect()
    };
    let space = if input.include_space == Some(true) { " " } else { "" };
    let classes = [
        class(LOWERCASE, input.exclude_lowercase),
        class(UPPERCASE, input.exclude_uppercase),
        class(NUMBERS, input.exclude_numbers),
        class(PUNCTUATION, input.exclude_punctuation),
    ];
    let space = class(space, None);
    let mut classes: Vec<&Vec<char>> = classes.iter().filter(|class| !class.is_empty()).collect();
    let all: Vec<char> = classes.iter().copied().flatten().chain(&space).copied().collect();
    if all.is_empty() {
        return Err(Error::parameter("The password can't be made: every character is excluded."));
    }
    let length = usize::try_from(input.password_length.unwrap_or(LENGTH_DEFAULT)).unwrap_or(0);
    let mut random = Random::of(ids);
    let mut password: Vec<char> = Vec::with_capacity(length);
    if input.require_each_included_type.unwrap_or(true) {
        if length < classes.len() {
            return Err(Error::parameter(format!(
                "The password length {length} is too short: each of {} types of characters is \
                 required.",
                classes.len()
            )));
        }
        // A space is no type that is required, but is there if it has room.
        if !space.is_empty() && length > classes.len() {
            classes.push(&space);
        }
        password.extend(classes.iter().map(|class| random.one_of(class)));
    }
    while password.len() < length {
        password.push(random.one_of(&all));
    }
    // Fisher-Yates: those that are required may stand anywhere.
    for last in (1..password.len()).rev() {
        password.swap(last, random.below(last + 1));
    }
    Ok(password.into_iter().collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    struct Counted(AtomicU64);

    impl IdSource for Counted {
        fn next(&self) -> [u8; 16] {
            let count = u128::from(self.0.fetch_add(1, Ordering::SeqCst) + 1);
            count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
        }
    }

    proptest! {
        #[test]
        fn a_password_is_as_it_was_asked_for(
            length in 4..200_i64, lower in any::<bool>(), numbers in any::<bool>(), space in any::<bool>(),
            excluded in "[a-f0-4!]{0,5}", seed in any::<u32>(),
        ) {
            let input = shapes::GetRandomPasswordRequest {
                password_length: Some(length),
                exclude_lowercase: Some(lower),
                exclude_numbers: Some(numbers),
                exclude_characters: Some(excluded.clone()),
                include_space: Some(space),
                ..Default::default()
            };
            let made = password(&input, &Counted(AtomicU64::new(seed.into()))).unwrap();
            prop_assert_eq!(made.chars().count() as i64, length);
            prop_assert!(!made.chars().any(|c| excluded.contains(c)), "{:?}", made);
            prop_assert_eq!(made.chars().any(|c| c.is_ascii_lowercase()), !lower);
            prop_assert_eq!(made.chars().any(|c| c.is_ascii_digit()), !numbers);
            prop_assert!(made.chars().any(|c| c.is_ascii_uppercase()));
            // It has room, unless each place is a required type's.
            let room = length > 4 || lower || numbers;
            prop_assert_eq!(made.contains(' '), space && room);
        }
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let ids = Counted(AtomicU64::new(0));
        let short =
            shapes::GetRandomPasswordRequest { password_length: Some(3), ..Default::default() };
        assert!(password(&short, &ids).is_err());
        let none = shapes::GetRandomPasswordRequest {
            exclude_lowercase: Some(true),
            exclude_uppercase: Some(true),
            exclude_numbers: Some(true),
            exclude_punctuation: Some(true),
            ..Default::default()
        };
        assert!(password(&none, &ids).is_err());
        let usual = shapes::GetRandomPasswordRequest::default();
        assert_eq!(password(&usual, &ids).unwrap().len(), 32);
    }
}
