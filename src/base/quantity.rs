//! Kubernetes quantities: exact fixed point, never a float. Source: `apimachinery` resource.Quantity.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An amount such as `500m`, `1536Mi` or `1e3`. Held in nano-units; a finer amount was rounded up (away from zero).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    nano: i128,
    family: Family,
}

/// Which suffixes the text used, kept for output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Powers of 1000: `n u m k M G T P E`.
    Decimal,
    /// Powers of 1024: `Ki Mi Gi Ti Pi Ei`.
    Binary,
    /// `e` and a signed exponent.
    Exponent,
}

/// The text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be digits with an optional fraction and one suffix of n u m k M G T P E, Ki Mi Gi Ti Pi Ei or e<exponent>"
)]
pub struct QuantityError;

const NANO: i128 = 1_000_000_000;
/// Largest magnitude, in whole units. Source: Kubernetes caps at 2^63-1.
const MAX_UNITS: i128 = i64::MAX as i128;
const DECIMAL: [(&str, u32); 10] = [
    ("n", 0),
    ("u", 3),
    ("m", 6),
    ("", 9),
    ("k", 12),
    ("M", 15),
    ("G", 18),
    ("T", 21),
    ("P", 24),
    ("E", 27),
];
const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

impl Quantity {
    /// This many whole units.
    pub fn from_units(units: i64) -> Quantity {
        Quantity {
            nano: i128::from(units) * NANO,
            family: Family::Decimal,
        }
    }

    /// Whole units, rounded up; saturates at `i64`.
    pub fn units(self) -> i64 {
        i64::try_from(div_ceil(self.nano, NANO)).unwrap_or(if self.nano < 0 {
            i64::MIN
        } else {
            i64::MAX
        })
    }

    /// Thousandths, rounded up; saturates at `i64`.
    pub fn milli(self) -> i64 {
        i64::try_from(div_ceil(self.nano, NANO / 1000)).unwrap_or(if self.nano < 0 {
            i64::MIN
        } else {
            i64::MAX
        })
    }

    /// The same, rounded up to thousandths, as the API server stores container resources.
    pub fn rounded_to_milli(self) -> Quantity {
        Quantity {
            nano: div_ceil(self.nano, NANO / 1000) * (NANO / 1000),
            ..self
        }
    }

    /// `self / divisor`, rounded up; `None` when the divisor is zero. Source: downward API `resourceFieldRef`.
    pub fn divided_by(self, divisor: Quantity) -> Option<i64> {
        (divisor.nano != 0)
            .then(|| i64::try_from(div_ceil(self.nano, divisor.nano)).unwrap_or(i64::MAX))
    }

    /// Below zero.
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// Exactly zero.
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// The sum; saturates.
    pub fn plus(self, other: Quantity) -> Quantity {
        Quantity {
            nano: self.nano.saturating_add(other.nano),
            ..self
        }
    }
}

/// Division rounded away from zero for positive results, towards zero for negative ones (that is: up).
fn div_ceil(a: i128, b: i128) -> i128 {
    let quotient = a / b;
    if a % b != 0 && ((a < 0) == (b < 0)) {
        quotient + 1
    } else {
        quotient
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError);
        }
        let (family, multiplier, shift) = scale(suffix)?;
        // Digits beyond what any accepted amount can have are cut; a non-zero rest still rounds up.
        let digits: String = format!("{whole}{fraction}")
            .trim_start_matches('0')
            .to_owned();
        let exponent = shift - i64::try_from(fraction.len()).map_err(|_| QuantityError)?;
        let nano = scaled(&digits, exponent, multiplier)?;
        let nano = nano.min(MAX_UNITS * NANO);
        Ok(Quantity {
            nano: if negative { -nano } else { nano },
            family,
        })
    }
}

/// Family, binary multiplier and decimal exponent (relative to nano) of a suffix.
fn scale(suffix: &str) -> Result<(Family, i128, i64), QuantityError> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((Family::Decimal, 1, i64::from(*power)));
    }
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((Family::Binary, 1 << bits, 9));
    }
    let digits = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError)?;
    let exponent: i64 = digits.parse().map_err(|_| QuantityError)?;
    if exponent.abs() > 1000 {
        return Err(QuantityError);
    }
    Ok((Family::Exponent, 1, exponent + 9))
}

/// `digits × multiplier × 10^exponent`, rounded up, capped well above the largest accepted amount.
fn scaled(digits: &str, exponent: i64, multiplier: i128) -> Result<i128, QuantityError> {
    const CAP: i128 = MAX_UNITS * NANO;
    if digits.is_empty() {
        return Ok(0);
    }
    // 10^exponent of what is left after `digits`: drop digits when the exponent is negative.
    let length = i64::try_from(digits.len()).map_err(|_| QuantityError)?;
    if length + exponent.max(-19) > 29 && multiplier == 1 {
        return Ok(CAP);
    }
    let keep = usize::try_from(length.min(37)).map_err(|_| QuantityError)?;
    let mut value: i128 = digits[..keep].parse().map_err(|_| QuantityError)?;
    let mut inexact = digits[keep..].bytes().any(|b| b != b'0');
    let mut exponent = exponent + (length - i64::try_from(keep).map_err(|_| QuantityError)?);
    while exponent < 0 && multiplier > 1 && value % 10 == 0 {
        value /= 10;
        exponent += 1;
    }
    if exponent >= 0 {
        for _ in 0..exponent {
            value = value.saturating_mul(10).min(CAP);
        }
        return Ok(value.saturating_mul(multiplier).min(CAP));
    }
    // Multiply first, so that 0.5Gi is exact; when that would overflow the amount is beyond the cap or its tail is noise.
    let mut scaled = match value.checked_mul(multiplier) {
        Some(product) => product,
        None => {
            while value.checked_mul(multiplier).is_none() && exponent < 0 {
                inexact |= value % 10 != 0;
                value /= 10;
                exponent += 1;
            }
            value.saturating_mul(multiplier)
        }
    };
    while exponent < 0 && scaled != 0 {
        inexact |= scaled % 10 != 0;
        scaled /= 10;
        exponent += 1;
    }
    Ok(scaled.saturating_add(i128::from(inexact)).min(CAP))
}

impl fmt::Display for Quantity {
    /// Canonical form: the largest suffix of its family with an integer mantissa.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let whole = self.nano / NANO;
        if self.family == Family::Binary && self.nano % NANO == 0 && whole.abs() >= 1024 {
            let fits = BINARY
                .iter()
                .rev()
                .find(|(_, bits)| whole % (1_i128 << bits) == 0);
            return match fits {
                Some((suffix, bits)) => write!(f, "{}{suffix}", whole >> bits),
                None => write!(f, "{whole}"),
            };
        }
        if self.family == Family::Binary && self.nano % NANO == 0 {
            return write!(f, "{whole}");
        }
        let fits = DECIMAL
            .iter()
            .rev()
            .find(|(_, power)| self.nano % 10_i128.pow(*power) == 0);
        let (suffix, power) = *fits.unwrap_or(&DECIMAL[0]);
        let mantissa = self.nano / 10_i128.pow(power);
        match (self.family, power) {
            (Family::Exponent, 9) => write!(f, "{mantissa}"),
            (Family::Exponent, power) => write!(f, "{mantissa}e{}", i64::from(power) - 9),
            (Family::Decimal | Family::Binary, _) => write!(f, "{mantissa}{suffix}"),
        }
    }
}

impl TryFrom<String> for Quantity {
    type Error = QuantityError;
    fn try_from(text: String) -> Result<Quantity, QuantityError> {
        text.parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> String {
        quantity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>()
            .map_or_else(|_| "error".into(), |q| q.rounded_to_milli().to_string())
    }

    #[test]
    fn output_is_canonical_and_keeps_the_family() {
        for (text, want) in [
            ("0.5", "500m"),
            ("500m", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1e3"),
            ("100n", "1m"),
            ("1000m", "1"),
            ("1E", "1E"),
            ("1E3", "1e3"),
            ("1024Ki", "1Mi"),
            ("0.5Ki", "512"),
            (".5", "500m"),
            ("5.", "5"),
            ("-1500m", "-1500m"),
            ("1M", "1M"),
            ("0Gi", "0"),
        ] {
            assert_eq!(canonical(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for bad in [
            "", " ", "1.5.2", "10KB", "1 Gi", "K", "1K", "Ki", ".", "1e", "1e1.5", "0x1", "--1",
            "1Gi ", "e3", "1e99999",
        ] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn integer_use_rounds_up() {
        let q = |text: &str| text.parse::<Quantity>().expect("valid");
        assert_eq!(
            (q("1500m").units(), q("1n").milli(), q("64Mi").units()),
            (2, 1, 67_108_864)
        );
        assert_eq!(q("250m").divided_by(q("1")), Some(1));
        assert_eq!(q("250m").divided_by(q("1m")), Some(250));
        assert_eq!(q("1").divided_by(q("0")), None);
    }

    #[test]
    fn huge_text_saturates_instead_of_overflowing() {
        let max = Quantity::from_units(i64::MAX);
        for text in [
            "9".repeat(5000),
            "1e999".into(),
            "9999Ei".into(),
            format!("{}Ei", "9".repeat(40)),
            "9223372036854775808".into(),
        ] {
            assert_eq!(text.parse::<Quantity>(), Ok(max), "{text:.20}");
        }
        assert_eq!(
            format!("0.{}1", "0".repeat(5000))
                .parse::<Quantity>()
                .map(Quantity::milli),
            Ok(1)
        );
    }
}
