//! Finds the two numbers that decide about a gRPC call in a block of HTTP/2 headers: `:status` and `grpc-status`.
//!
//! We tell the server to keep no dynamic table, so every field stands for itself or for an entry of the static one, and only
//! these two are read; of Huffman codes only those of one name and ten digits are needed. Source: RFC 7541, appendices A and B.

/// What was found so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Statuses {
    /// `:status`.
    pub http: Option<u32>,
    /// `grpc-status`.
    pub grpc: Option<u32>,
}

/// Number of the static entry `:status 200`, the first of seven with this name.
const FIRST_STATUS: usize = 8;
/// The values of those seven.
const STATIC_STATUSES: [u32; 7] = [200, 204, 206, 304, 400, 404, 500];
/// Number of the last static entry.
const LAST_STATIC: usize = 61;
const GRPC_STATUS: &[u8] = b"grpc-status";
/// The same in Huffman codes.
const GRPC_STATUS_CODED: &[u8] = &[0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];
const STATUS: &[u8] = b":status";

/// Reads one whole block; `None` when it is malformed or uses a table that we did not allow.
pub fn read(mut block: &[u8], found: &mut Statuses) -> Option<()> {
    while let Some(first) = block.first() {
        match first {
            0x80.. => {
                let index = integer(&mut block, 7)?;
                let status = index
                    .checked_sub(FIRST_STATUS)
                    .map(|at| STATIC_STATUSES.get(at));
                if let Some(Some(status)) = status {
                    found.http = Some(*status);
                } else if !(1..=LAST_STATIC).contains(&index) {
                    return None;
                }
            }
            // A change of the size of the table.
            0x20..0x40 => drop(integer(&mut block, 5)?),
            _ => field(&mut block, found)?,
        }
    }
    Some(())
}

/// A literal field, indexed (6 bits) or not (4).
fn field(block: &mut &[u8], found: &mut Statuses) -> Option<()> {
    let bits = if *block.first()? & 0x40 == 0 { 4 } else { 6 };
    let name = match integer(block, bits)? {
        0 => match string(block)? {
            (GRPC_STATUS, false) | (GRPC_STATUS_CODED, true) => GRPC_STATUS,
            (STATUS, false) => STATUS,
            _ => b"",
        },
        index if (FIRST_STATUS..FIRST_STATUS + STATIC_STATUSES.len()).contains(&index) => STATUS,
        index if index <= LAST_STATIC => b"",
        _ => return None,
    };
    let (value, is_coded) = string(block)?;
    let number = || match is_coded {
        true => coded_number(value),
        false => std::str::from_utf8(value).ok()?.parse().ok(),
    };
    match name {
        GRPC_STATUS => found.grpc = Some(number()?),
        STATUS => found.http = Some(number()?),
        _ => {}
    }
    Some(())
}

/// An integer with a prefix of so many bits. Source: RFC 7541, section 5.1.
fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    let max = (1 << bits) - 1;
    let mut value = usize::from(*first) & max;
    if value < max {
        return Some(value);
    }
    // Nothing in a block is longer than three groups of seven bits can say.
    for shift in [0, 7, 14] {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A string, and whether it is in Huffman codes. Source: RFC 7541, section 5.2.
fn string<'a>(block: &mut &'a [u8]) -> Option<(&'a [u8], bool)> {
    let is_coded = *block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((text, is_coded))
}

/// Digits in Huffman codes: five bits for 0 to 2, six for the others, ones to fill the last byte.
fn coded_number(text: &[u8]) -> Option<u32> {
    const MAX_BYTES: usize = 4;
    if text.len() > MAX_BYTES {
        return None;
    }
    let mut bits = text
        .iter()
        .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = u32::try_from(text.len()).ok()? * 8;
    // To the top, with ones after the end.
    bits = match left {
        0 => return None,
        32 => bits,
        _ => bits << (32 - left) | (u32::MAX >> left),
    };
    let mut number: Option<u32> = None;
    // Fewer than eight ones fill the last byte.
    while left >= 8 || (left > 0 && bits != u32::MAX) {
        let (digit, width) = match (bits >> 27, bits >> 26) {
            (digit @ 0..=2, _) => (digit, 5),
            (_, code @ 25..=31) => (code - 22, 6),
            _ => return None,
        };
        if width > left {
            return None;
        }
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
        bits = bits << width | ((1 << width) - 1);
        left -= width;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(block: &[u8]) -> Option<(Option<u32>, Option<u32>)> {
        let mut found = Statuses::default();
        read(block, &mut found).map(|()| (found.http, found.grpc))
    }

    /// A literal field with a new name.
    fn literal(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let length = |text: &[u8]| u8::try_from(text.len()).expect("short");
        [&[kind, length(name)], name, &[length(value)], value].concat()
    }

    #[test]
    fn both_numbers_are_found_in_every_spelling() {
        assert_eq!(found(&[0x88]), Some((Some(200), None)));
        assert_eq!(found(&[0x8d]), Some((Some(404), None)));
        // `:status: 503` with the name from the table, as text and in codes; before it, a change of the table.
        assert_eq!(found(b"\x20\x48\x03503"), Some((Some(503), None)));
        assert_eq!(
            found(&[0x08, 0x83, 0x6c, 0x0c, 0xff]),
            Some((Some(503), None))
        );
        for kind in [0x00, 0x10, 0x40] {
            let block = literal(kind, b"grpc-status", b"12");
            assert_eq!(found(&block), Some((None, Some(12))));
        }
        let coded = [&[0x40, 0x88][..], GRPC_STATUS_CODED, &[0x81, 0x07]].concat();
        assert_eq!(found(&coded), Some((None, Some(0))));
        let both = [
            &[0x88, 0x5f, 0x01, b'x'],
            &literal(0, b"grpc-message", b"y")[..],
        ]
        .concat();
        assert_eq!(found(&both), Some((Some(200), None)));
    }

    #[test]
    fn codes_of_digits_are_read() {
        // Codes of appendix B: 0 00000, 1 00001, 2 00010, 3 011001 … 9 011111.
        for (text, want) in [
            (&[0b0000_0111][..], Some(0)),
            (&[0b0000_1000, 0b1011_1111], Some(12)),
            (&[0b0110_0111], Some(3)),
            (&[0b0111_1111], Some(9)),
            (&[0b0000_1011, 0b1001_1111], Some(16)),
            (&[], None),
            (&[0xff], None),
            (&[0b0011_1111], None),
            (&[0; 9], None),
        ] {
            assert_eq!(coded_number(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_malformed_block_is_no_answer() {
        for block in [
            &[0x80][..],
            &[0xbe],
            &[0xff],
            &[0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x40],
            &[0x40, 0x05, b'x'],
            &[0x7f, 0x00, 0x00],
            &[0x08, 0x03, b'x', b'y', b'z'],
            &literal(0, b"grpc-status", b"-1"),
            &literal(0, b"grpc-status", b"99999999999"),
        ] {
            assert_eq!(found(block), None, "{block:?}");
        }
    }
}
