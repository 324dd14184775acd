//! Numbers as text: how they are written decides which type holds them exactly.

/// What the text of a number shows, without converting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Digits before the point; a lone zero counts as one.
    pub whole: u32,
    /// Digits behind the point.
    pub scale: u32,
    /// Digits that matter: without leading zeros.
    pub significant: u32,
    /// It has an exponent, or is a negative zero: only floating point holds its meaning.
    pub floating: bool,
}

impl Number {
    /// Whether a 64-bit floating-point number keeps the meaning. Integers must be exact (15 digits always are). Other numbers may
    /// have the 17 digits with which programs print a `double`. Numbers too great or too small for it are refused.
    pub fn fits_double(self, text: &str) -> bool {
        if self.significant > 17 || (!self.floating && self.scale == 0 && self.significant > 15) {
            return false;
        }
        if !self.floating {
            return true;
        }
        // `significant` does not see the exponent: 1e400 is no double, and 1e-400 would become zero.
        text.parse::<f64>().is_ok_and(|value| value.is_finite() && (value != 0.0 || self.significant == 0))
    }
}

/// Looks at the text of a number: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, which is JSON's grammar. `None` for anything
/// else: leading zeros, a plus sign, blanks and separators would not survive.
pub fn parse_number(text: &str) -> Option<Number> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    let whole = count_digits(digits);
    if whole == 0 || (whole > 1 && digits[0] == b'0') {
        return None;
    }
    let mut rest = &digits[whole..];
    let mut scale = 0;
    let mut fraction: &[u8] = &[];
    if let [b'.', behind @ ..] = rest {
        scale = count_digits(behind);
        if scale == 0 {
            return None;
        }
        (fraction, rest) = behind.split_at(scale);
    }
    let mut floating = false;
    if let [b'e' | b'E', behind @ ..] = rest {
        let behind = match behind {
            [b'+' | b'-', behind @ ..] => behind,
            _ => behind,
        };
        if behind.is_empty() || count_digits(behind) != behind.len() {
            return None;
        }
        floating = true;
        rest = &[];
    }
    if !rest.is_empty() {
        return None;
    }
    let significant = if digits[0] == b'0' {
        scale - fraction.iter().take_while(|digit| **digit == b'0').count()
    } else {
        whole + scale
    };
    floating |= negative && significant == 0;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Some(Number { whole: number(whole), scale: number(scale), significant: number(significant), floating })
}

fn count_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// A 64-bit integer, written as [`parse_number`] demands; `None` for anything else.
pub(super) fn parse_bigint(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 19 || (digits[0] == b'0' && (digits.len() > 1 || negative)) {
        return None;
    }
    let mut value: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits are below 10^19, which fits in 64 bits without sign.
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// A decimal number times ten to the power of `scale`, written as [`parse_number`] demands; `None` if it is written otherwise or
/// does not fit into `precision` digits. Zeros behind the last place of the scale are accepted where `trailing_zeros` says so.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: u8, trailing_zeros: bool) -> Option<i128> {
    let number = parse_number(text)?;
    if number.floating {
        return None;
    }
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let (mut value, mut behind, mut seen_point) = (0i128, 0u8, false);
    let mut digits = 0u8;
    for byte in &bytes[usize::from(negative)..] {
        if *byte == b'.' {
            seen_point = true;
            continue;
        }
        if seen_point && behind == scale {
            if *byte == b'0' && trailing_zeros {
                continue;
            }
            return None;
        }
        if value != 0 || *byte != b'0' {
            digits += 1;
            if digits > precision {
                return None;
            }
        }
        value = value * 10 + i128::from(byte - b'0');
        behind += u8::from(seen_point);
    }
    if value != 0 {
        // At most 38 digits in all: 10^38 fits in 127 bits.
        if digits + (scale - behind) > precision {
            return None;
        }
        value *= 10i128.pow(u32::from(scale - behind));
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_number() {
        for text in ["0", "-1", "12", "1.50", "0.001", "1e5", "-1.5E-3", "123456789012345678901234567890"] {
            assert!(parse_number(text).is_some(), "{text}");
        }
        for text in
            ["", "-", "007", "+5", "1_000", " 1", "1 ", ".5", "5.", "1e", "1e+", "0x1", "1,5", "--1", "NaN", "٣"]
        {
            assert!(parse_number(text).is_none(), "{text}");
        }
    }

    #[test]
    fn bigints() {
        assert_eq!(parse_bigint("9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_bigint("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_bigint("9223372036854775808"), None);
        assert_eq!(parse_bigint("9999999999999999999"), None);
        assert_eq!(parse_bigint("-0"), None);
        assert_eq!(parse_bigint("00"), None);
    }

    #[test]
    fn decimals() {
        assert_eq!(parse_decimal("12.5", 10, 2, false), Some(1250));
        assert_eq!(parse_decimal("-0.05", 10, 2, false), Some(-5));
        assert_eq!(parse_decimal("1.500", 10, 2, false), None);
        assert_eq!(parse_decimal("1.500", 10, 2, true), Some(150));
        assert_eq!(parse_decimal("123", 4, 2, false), None);
        assert_eq!(parse_decimal("99999999999999999999999999999999999999", 38, 0, false), Some(10i128.pow(38) - 1));
        assert_eq!(parse_decimal("0", 1, 1, false), Some(0));
    }

    #[test]
    fn doubles_keep_their_meaning() {
        let fits = |text: &str| parse_number(text).is_some_and(|number| number.fits_double(text));
        assert!(fits("1e5") && fits("0.1234567890123456") && fits("123456789012345") && fits("0e9"));
        assert!(!fits("1e400") && !fits("1e-400") && !fits("1234567890123456") && !fits("1.234567890123456789e3"));
    }
}
