//! `inet` and `cidr`, in their binary form and as Postgres writes them.

use std::fmt::Write as _;

/// Family codes of the binary form.
const IPV4: u8 = 2;
const IPV6: u8 = 3;

/// The address as Postgres writes it: the length of the network follows where it is a `cidr` or not the whole address.
///
/// The form: family, length of the network, whether it is a `cidr`, number of bytes, the bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<String> {
    let (&[family, bits, is_cidr, length], address) = bytes.split_first_chunk::<4>()?;
    if address.len() != usize::from(length) {
        return None;
    }
    let mut text = match family {
        IPV4 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).to_string(),
        IPV6 => ipv6(<[u8; 16]>::try_from(address).ok()?),
        _ => return None,
    };
    if is_cidr != 0 || usize::from(bits) != address.len() * 8 {
        let _ = write!(text, "/{bits}");
    }
    Some(text)
}

/// The longest run of at least two zero groups becomes `::`; addresses that hold one of IPv4 end in it. Rust's own rules differ in the
/// latter.
fn ipv6(bytes: [u8; 16]) -> String {
    let groups: [u16; 8] = std::array::from_fn(|index| u16::from_be_bytes([bytes[index * 2], bytes[index * 2 + 1]]));
    let (mut best, mut length, mut index) = (8, 1, 0);
    while index < 8 {
        let run = groups[index..].iter().take_while(|group| **group == 0).count();
        if run > length {
            (best, length) = (index, run);
        }
        index += run.max(1);
    }
    let holds_ipv4 =
        best == 0 && (length == 6 || (length == 7 && groups[7] != 1) || (length == 5 && groups[5] == 0xffff));
    let mut text = String::new();
    let mut index = 0;
    while index < 8 {
        if index == best {
            text.push_str(if index == 0 { "::" } else { ":" });
            index += length;
            continue;
        }
        if index == 6 && holds_ipv4 {
            let _ = write!(text, "{}", std::net::Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]));
            break;
        }
        let _ = write!(text, "{:x}", groups[index]);
        index += 1;
        if index < 8 {
            text.push(':');
        }
    }
    text
}
