//! `numeric` in its binary form.

/// Why a `numeric` is no decimal of a precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDecimal {
    /// NaN or an infinity.
    Special(&'static str),
    /// Digits before or behind the point that there is no room for.
    Digits,
    /// The bytes are not what the protocol promises.
    Malformed,
}

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Powers of ten up to the greatest that 128 bits hold.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut exponent = 1;
    while exponent < 39 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// The digits of a `numeric` without the point, at exactly this scale.
///
/// The form: number of groups, weight of the first group, sign, scale (16 bits each), then groups of four decimal digits.
pub fn decimal(bytes: &[u8], precision: u8, scale: u8) -> Result<i128, NotDecimal> {
    let (head, groups) = bytes.split_at_checked(8).ok_or(NotDecimal::Malformed)?;
    let head = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    match head(4) {
        0 | NEGATIVE => {}
        NAN => return Err(NotDecimal::Special("NaN")),
        INFINITY => return Err(NotDecimal::Special("Infinity")),
        NEGATIVE_INFINITY => return Err(NotDecimal::Special("-Infinity")),
        _ => return Err(NotDecimal::Malformed),
    }
    if groups.len() != usize::from(head(0)) * 2 {
        return Err(NotDecimal::Malformed);
    }
    // Power of ten of a group, seen from the last digit of the result.
    let mut exponent = i32::from(head(2).cast_signed()) * 4 + i32::from(scale);
    let mut sum: i128 = 0;
    for group in groups.chunks_exact(2) {
        let group = i128::from(u16::from_be_bytes([group[0], group[1]]));
        let part = match exponent {
            0.. if group == 0 => Some(0),
            0.. => POWERS.get(exponent.unsigned_abs() as usize).and_then(|power| group.checked_mul(*power)),
            -3..=-1 => {
                let divisor = POWERS[exponent.unsigned_abs() as usize];
                (group % divisor == 0).then_some(group / divisor)
            }
            _ => (group == 0).then_some(0),
        };
        sum = part.and_then(|part| sum.checked_add(part)).ok_or(NotDecimal::Digits)?;
        exponent -= 4;
    }
    if sum >= POWERS[usize::from(precision.min(38))] {
        return Err(NotDecimal::Digits);
    }
    Ok(if head(4) == NEGATIVE { -sum } else { sum })
}

/// Writes the binary form of a decimal whose last `zeros` digits must be zeros and are left off; `None` where they are not. What was
/// written until then is of no use.
pub fn encode(value: i128, scale: u8, zeros: u8, out: &mut Vec<u8>) -> Option<()> {
    let mut digits = value.unsigned_abs();
    let mut scale = u32::from(scale);
    if zeros > 0 {
        let divisor = 10u128.checked_pow(u32::from(zeros))?;
        if !digits.is_multiple_of(divisor) {
            return None;
        }
        digits /= divisor;
        scale -= u32::from(zeros);
    }
    let unit = 10u128.checked_pow(scale)?;
    let (mut whole, mut fraction) = (digits / unit, digits % unit);
    // 39 digits, in groups before and behind the point, are 11 at most. From the last one to the first.
    let (mut groups, mut count) = ([0u16; 12], 0);
    let mut push = |group: u128| {
        // Less than 10,000.
        groups[count] = group as u16;
        count += 1;
    };
    let odd = scale % 4;
    if odd > 0 {
        let part = 10u128.pow(odd);
        push(fraction % part * 10u128.pow(4 - odd));
        fraction /= part;
    }
    for _ in 0..scale / 4 {
        push(fraction % 10_000);
        fraction /= 10_000;
    }
    while whole > 0 {
        push(whole % 10_000);
        whole /= 10_000;
    }
    let mut weight = count as i16 - scale.div_ceil(4) as i16 - 1;
    let mut groups = &groups[..count];
    while let [rest @ .., 0] = groups {
        groups = rest;
        weight -= 1;
    }
    while let [0, rest @ ..] = groups {
        groups = rest;
    }
    let (weight, sign) = match groups {
        [] => (0, 0),
        _ if value < 0 => (weight, NEGATIVE),
        _ => (weight, 0),
    };
    for word in [groups.len() as u16, weight.cast_unsigned(), sign, scale as u16] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    groups.iter().rev().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
    Some(())
}

/// Digits behind the point that a `numeric` is shown with.
pub fn scale(bytes: &[u8]) -> Option<u16> {
    let &[high, low] = bytes.get(6..8)? else { return None };
    Some(u16::from_be_bytes([high, low]) & 0x3fff)
}

/// The text of a `numeric`, as Postgres writes it.
pub fn text(bytes: &[u8]) -> Option<String> {
    let (head, groups) = bytes.split_at_checked(8)?;
    let head = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let mut text = match head(4) {
        0 => String::new(),
        NEGATIVE => "-".to_owned(),
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let (weight, scale) = (i32::from(head(2).cast_signed()), usize::from(head(6)));
    let group = |index: i32| -> u16 {
        let at = usize::try_from(index).ok().and_then(|index| groups.get(index * 2..index * 2 + 2));
        at.map_or(0, |group| u16::from_be_bytes([group[0], group[1]]))
    };
    text.push_str(&(if weight < 0 { 0 } else { group(0) }).to_string());
    for index in 1..=weight {
        text.push_str(&format!("{:04}", group(index)));
    }
    if scale > 0 {
        text.push('.');
        let whole = text.len();
        let mut index = weight + 1;
        while text.len() - whole < scale {
            // Groups before the first are zeros: 0.00001 has weight -2.
            text.push_str(&format!("{:04}", if index < 0 { 0 } else { group(index) }));
            index += 1;
        }
        text.truncate(whole + scale);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The binary form of a number written plainly; what the server would send.
    fn sent(text: &str) -> Vec<u8> {
        let (sign, digits) = text.strip_prefix('-').map_or((0, text), |digits| (NEGATIVE, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = format!("{}{}", "0".repeat((4 - whole.len() % 4) % 4), whole);
        let padded = format!("{}{}", fraction, "0".repeat((4 - fraction.len() % 4) % 4));
        let all = format!("{whole}{padded}");
        let mut groups: Vec<u16> =
            (0..all.len() / 4).map(|index| all[index * 4..index * 4 + 4].parse().expect("digits")).collect();
        let mut weight = i16::try_from(whole.len() / 4).expect("a short number") - 1;
        while groups.first() == Some(&0) {
            groups.remove(0);
            weight -= 1;
        }
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let (weight, sign) = if groups.is_empty() { (0, 0) } else { (weight, sign) };
        let scale = u16::try_from(fraction.len()).expect("a short number");
        let head = [u16::try_from(groups.len()).expect("few"), weight.cast_unsigned(), sign, scale];
        head.iter().chain(&groups).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn decimals_at_their_limits() {
        for (written, precision, scale, expected) in [
            ("0", 5, 2, Ok(0)),
            ("0.00", 38, 38, Ok(0)),
            ("-0.01", 5, 2, Ok(-1)),
            ("123.45", 5, 2, Ok(12345)),
            ("999.99", 5, 2, Ok(99999)),
            ("1000", 5, 2, Err(NotDecimal::Digits)),
            ("0.001", 5, 2, Err(NotDecimal::Digits)),
            ("12300", 5, 0, Ok(12300)),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10i128.pow(38) - 1)),
            ("-99999999999999999999999999999999999999", 38, 0, Ok(1 - 10i128.pow(38))),
            ("100000000000000000000000000000000000000", 38, 0, Err(NotDecimal::Digits)),
            ("0.99999999999999999999999999999999999999", 38, 38, Ok(10i128.pow(38) - 1)),
            ("0.00000000000000000000000000000000000001", 38, 38, Ok(1)),
            ("0.000000000000000000000000000000000000001", 38, 38, Err(NotDecimal::Digits)),
        ] {
            assert_eq!(decimal(&sent(written), precision, scale), expected, "{written}");
        }
        assert_eq!(decimal(&[0, 0, 0, 0, 0xC0, 0, 0, 0], 5, 2), Err(NotDecimal::Special("NaN")));
        assert_eq!(decimal(&[0, 1, 0, 0, 0, 0, 0, 0], 5, 2), Err(NotDecimal::Malformed));
    }

    proptest! {
        #[test]
        fn numbers_survive(digits in 1u8..=38, scale in 0u8..=38, seed: u128, negative: bool) {
            let digits = digits.max(scale);
            let value = i128::try_from(seed % 10u128.pow(u32::from(digits))).expect("less than ten to the 38th");
            let value = if negative { -value } else { value };
            let written = written(value, scale);
            let bytes = sent(&written);
            let mut own = Vec::new();
            prop_assert_eq!(encode(value, scale, 0, &mut own), Some(()));
            prop_assert_eq!(&own, &bytes);
            prop_assert_eq!(decimal(&bytes, digits, scale), Ok(value));
            let shown = if value == 0 { written.trim_start_matches('-').to_owned() } else { written };
            prop_assert_eq!(text(&bytes), Some(shown));
        }

        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..24), precision in 1u8..=38, scale in 0u8..=38) {
            let _ = decimal(&bytes, precision, scale);
        }
    }

    fn written(value: i128, scale: u8) -> String {
        let scale = usize::from(scale);
        let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if value < 0 { "-" } else { "" };
        if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
}
