//! Durations and quantities as people write them.

use std::time::Duration;

/// `90` or `90s`, `30m`, `2h`, `1d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text.trim())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// Bytes: `1073741824`, `512Mi`, `11Gi`, `16G`.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text.trim())?;
    let scale = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u64.pow(2),
        "G" => 1000_u64.pow(3),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(scale)
}

/// Thousandths of a CPU: `2`, `500m`.
pub(crate) fn cpu_milli(text: &str) -> Option<u32> {
    let (number, unit) = split(text.trim())?;
    let scale = match unit {
        "" => 1000,
        "m" => 1,
        _ => return None,
    };
    u32::try_from(number.checked_mul(scale)?).ok()
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_nonsense_is_not() {
        assert_eq!(duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(duration(" 90 "), Some(Duration::from_secs(90)));
        assert_eq!(bytes("11Gi"), Some(11 << 30));
        assert_eq!(bytes("16G"), Some(16_000_000_000));
        assert_eq!(cpu_milli("2"), Some(2000));
        assert_eq!(cpu_milli("500m"), Some(500));
        for bad in [
            "",
            "h",
            "-1h",
            "1.5h",
            "1w",
            "1 h",
            "99999999999999999999h",
            "9999999999999999d",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(bytes("1Ti"), None);
        assert_eq!(cpu_milli("4294968"), None);
    }
}
