//! MetaTrader 5's numbers for what became of a trade request, and the words that we have for them.
//!
//! Numbers and names are those of the MQL5 reference, "Trade Server Return Codes"
//! (<https://www.mql5.com/en/docs/constants/errorswarnings/enum_trade_return_codes>); what each means to us is ours.

/// What became of a request that is answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    NotStarted,
    /// Nobody knows: it is to be found out (LV03).
    MayHaveExecuted,
    Executed,
}

impl Effect {
    /// The wire's word, as in an error's `outcome`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::MayHaveExecuted => "may_have_executed",
            Self::Executed => "executed",
        }
    }
}

/// One number.
#[derive(Debug, PartialEq, Eq)]
pub struct Retcode {
    pub number: i64,
    /// MetaTrader's name of it, without `TRADE_RETCODE_`.
    pub name: &'static str,
    /// Our word for it, if the number alone is known.
    pub reason: &'static str,
    /// Further words of ours that it stands for: they say more than it does.
    pub also: &'static [&'static str],
    pub effect: Effect,
    /// Whether the same request may pass later.
    pub retryable: bool,
}

/// The request changes nothing: things are as it wants them.
pub const NO_CHANGES: i64 = 10025;

const fn no(number: i64, name: &'static str, reason: &'static str, also: &'static [&'static str]) -> Retcode {
    Retcode { number, name, reason, also, effect: Effect::NotStarted, retryable: false }
}

const fn later(
    number: i64,
    name: &'static str,
    reason: &'static str,
    also: &'static [&'static str],
) -> Retcode {
    Retcode { retryable: true, ..no(number, name, reason, also) }
}

const fn done(number: i64, name: &'static str) -> Retcode {
    Retcode { effect: Effect::Executed, ..no(number, name, name, &[]) }
}

const fn doubt(number: i64, name: &'static str, reason: &'static str) -> Retcode {
    Retcode { effect: Effect::MayHaveExecuted, ..no(number, name, reason, &[]) }
}

/// All of them, ascending.
#[rustfmt::skip]
pub const RETCODES: &[Retcode] = &[
    later(10004, "REQUOTE", "REQUOTE", &[]),
    no(10006, "REJECT", "REJECTED", &["MAX_DAILY_LOSS", "CONVERSION_RATE_MISSING"]),
    no(10007, "CANCEL", "CANCELED_BY_TRADER", &[]),
    done(10008, "PLACED"),
    done(10009, "DONE"),
    done(10010, "DONE_PARTIAL"),
    doubt(10011, "ERROR", "VENUE_ERROR"),
    doubt(10012, "TIMEOUT", "VENUE_TIMEOUT"),
    no(10013, "INVALID", "INVALID_REQUEST",
        &["SYMBOL_UNKNOWN", "ACCOUNT_UNKNOWN", "ORDER_UNKNOWN", "ORDER_NAME", "TRAIL_MISSING", "FIELD_CONFLICT",
          "FIELD_MISSING", "GROUP_MISMATCH", "GROUP_ENDED", "GROUP_PARENT_ENDED"]),
    no(10014, "INVALID_VOLUME", "VOLUME_INVALID", &["VOLUME_STEP", "VOLUME_MIN", "VOLUME_MAX"]),
    no(10015, "INVALID_PRICE", "PRICE_TICK", &["PRICE_MISSING"]),
    no(10016, "INVALID_STOPS", "STOPS_INVALID", &["STOPS_TOO_CLOSE"]),
    no(10017, "TRADE_DISABLED", "TRADE_DISABLED", &["TRADING_HALTED", "SYMBOL_NOT_ALLOWED"]),
    later(10018, "MARKET_CLOSED", "MARKET_CLOSED", &[]),
    no(10019, "NO_MONEY", "MARGIN_INSUFFICIENT", &[]),
    later(10020, "PRICE_CHANGED", "PRICE_CHANGED", &[]),
    later(10021, "PRICE_OFF", "QUOTE_MISSING", &["QUOTE_STALE"]),
    no(10022, "INVALID_EXPIRATION", "EXPIRY_IN_PAST", &["TIF_UNSUPPORTED"]),
    no(10023, "ORDER_CHANGED", "ORDER_CHANGED", &["ORDER_TERMINAL", "VERSION_STALE"]),
    later(10024, "TOO_MANY_REQUESTS", "TRADE_RATE", &["LANE_FULL"]),
    done(NO_CHANGES, "NO_CHANGES"),
    no(10026, "SERVER_DISABLES_AT", "SERVER_DISABLES_AUTOTRADING", &[]),
    no(10027, "CLIENT_DISABLES_AT", "CLIENT_DISABLES_AUTOTRADING", &[]),
    later(10028, "LOCKED", "LOCKED", &["RECONCILING", "ACCOUNT_NOT_CONNECTED", "ORDER_BUSY", "POSITION_BUSY"]),
    no(10029, "FROZEN", "FROZEN", &[]),
    no(10030, "INVALID_FILL", "FILLING_UNSUPPORTED", &["POST_ONLY_UNSUPPORTED"]),
    doubt(10031, "CONNECTION", "VENUE_CONNECTION_LOST"),
    no(10032, "ONLY_REAL", "LIVE_ACCOUNTS_ONLY", &[]),
    no(10033, "LIMIT_ORDERS", "MAX_OPEN_ORDERS", &["GROUP_FULL"]),
    no(10034, "LIMIT_VOLUME", "MAX_SYMBOL_VOLUME", &[]),
    no(10035, "INVALID_ORDER", "ORDER_TYPE_UNSUPPORTED", &["GROUP_UNSUPPORTED"]),
    no(10036, "POSITION_CLOSED", "POSITION_CLOSED", &["POSITION_UNKNOWN"]),
    no(10038, "INVALID_CLOSE_VOLUME", "REDUCE_ONLY", &["POSITION_MISMATCH"]),
    no(10039, "CLOSE_ORDER_EXIST", "CLOSE_ORDER_EXISTS", &[]),
    no(10040, "LIMIT_POSITIONS", "MAX_POSITIONS", &[]),
    no(10041, "REJECT_CANCEL", "ACTIVATION_REJECTED", &[]),
    no(10042, "LONG_ONLY", "LONG_ONLY", &[]),
    no(10043, "SHORT_ONLY", "SHORT_ONLY", &[]),
    no(10044, "CLOSE_ONLY", "CLOSE_ONLY", &[]),
    no(10045, "FIFO_CLOSE", "FIFO_CLOSE", &[]),
    no(10046, "HEDGE_PROHIBITED", "HEDGE_PROHIBITED", &[]),
];

/// What is known of a number.
pub fn of_number(number: i64) -> Option<&'static Retcode> {
    RETCODES.iter().find(|row| row.number == number)
}

/// The number for a word of ours that refuses a request.
pub fn of_refusal(reason: &str) -> Option<i64> {
    let refusals = RETCODES.iter().filter(|row| row.effect == Effect::NotStarted);
    refusals.into_iter().find(|row| row.stands_for(reason)).map(|row| row.number)
}

/// Our word for what a venue says by a number and, if it does, by a word: its own where that is ours and says more,
/// or where nobody knows the number.
pub fn reason(number: i64, said: &str) -> String {
    match of_number(number) {
        Some(row) if !row.stands_for(said) => row.reason.to_owned(),
        None if said.is_empty() => format!("RETCODE_{number}"),
        _ => said.to_owned(),
    }
}

/// Whether a refusal with this number is none: the request was carried out, or may have been.
pub fn leaves_doubt(number: i64) -> bool {
    of_number(number).is_some_and(|row| row.effect != Effect::NotStarted)
}

/// Whether what was refused with this number may pass later.
pub fn is_retryable(number: i64) -> bool {
    of_number(number).is_some_and(|row| row.retryable)
}

impl Retcode {
    fn stands_for(&self, reason: &str) -> bool {
        self.reason == reason || self.also.contains(&reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::ViolationCode;
    use std::collections::BTreeSet;

    #[test]
    fn or11_numbers_and_words_are_each_other_s_where_they_are_one_to_one() {
        for row in RETCODES {
            assert_eq!(of_number(row.number), Some(row));
            assert_eq!(reason(row.number, ""), row.reason, "by the number alone");
            assert_eq!(reason(row.number, "a text of the venue"), row.reason);
            for word in std::iter::once(&row.reason).chain(row.also) {
                assert_eq!(reason(row.number, word), *word, "a word of ours says more");
                let back = (row.effect == Effect::NotStarted).then_some(row.number);
                assert_eq!(of_refusal(word), back, "{word}");
            }
        }
    }

    #[test]
    fn or11_each_number_and_each_word_is_there_once() {
        assert!(RETCODES.is_sorted_by_key(|row| row.number));
        let words = || RETCODES.iter().flat_map(|row| std::iter::once(&row.reason).chain(row.also));
        assert_eq!(RETCODES.iter().map(|row| row.number).collect::<BTreeSet<_>>().len(), RETCODES.len());
        assert_eq!(words().collect::<BTreeSet<_>>().len(), words().count());
        let is_stable = |word: &str| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        assert!(words().all(|word| is_stable(word)));
    }

    /// A repeated order is answered with what the first one is.
    #[test]
    fn or11_every_violation_but_the_repeated_order_has_a_number() {
        for code in ViolationCode::ALL {
            let expected = *code != ViolationCode::DuplicateOrder;
            assert_eq!(of_refusal(code.name()).is_some(), expected, "{}", code.name());
        }
    }

    #[test]
    fn lv03_what_the_numbers_mean_for_an_order() {
        let check = |number, doubt, retryable| {
            assert_eq!((leaves_doubt(number), is_retryable(number)), (doubt, retryable), "{number}");
        };
        for executed in [10008, 10009, 10010, NO_CHANGES] {
            check(executed, true, false);
        }
        for open in [10011, 10012, 10031] {
            check(open, true, false);
        }
        for wait in [10004, 10018, 10020, 10021, 10024, 10028] {
            check(wait, false, true);
        }
        for (number, word) in [
            (10015, "PRICE_TICK"),
            (10019, "MARGIN_INSUFFICIENT"),
            (10029, "FROZEN"),
            (10046, "HEDGE_PROHIBITED"),
        ] {
            check(number, false, false);
            assert_eq!(reason(number, ""), word);
        }
        for nobody_knows in [0, -1, 1, 10005, 10037, 10047, i64::MAX, i64::MIN] {
            check(nobody_knows, false, false);
            assert_eq!(reason(nobody_knows, ""), format!("RETCODE_{nobody_knows}"));
            assert_eq!(reason(nobody_knows, "as it said"), "as it said");
        }
    }
}
