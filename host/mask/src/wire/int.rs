use std::io::Write as _;

use crate::types::{Format, Kind};

/// The size of an integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Two,
    Four,
    Eight,
}

impl Width {
    pub(crate) const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Int2 => Some(Self::Two),
            Kind::Int4 => Some(Self::Four),
            Kind::Int8 => Some(Self::Eight),
            _ => None,
        }
    }

    pub(crate) const fn largest(self) -> i64 {
        match self {
            Self::Two => i16::MAX as i64,
            Self::Four => i32::MAX as i64,
            Self::Eight => i64::MAX,
        }
    }
}

pub(crate) fn read(value: &[u8], width: Width, format: Format) -> Option<i64> {
    match (format, width) {
        (Format::Text, _) => std::str::from_utf8(value).ok()?.parse().ok(),
        (Format::Binary, Width::Two) => Some(i16::from_be_bytes(value.try_into().ok()?).into()),
        (Format::Binary, Width::Four) => Some(i32::from_be_bytes(value.try_into().ok()?).into()),
        (Format::Binary, Width::Eight) => Some(i64::from_be_bytes(value.try_into().ok()?)),
    }
}

/// None if the value does not fit.
pub(crate) fn write(value: i64, width: Width, format: Format, out: &mut Vec<u8>) -> Option<()> {
    match width {
        Width::Two => {
            let value = i16::try_from(value).ok()?;
            if format == Format::Binary {
                out.extend_from_slice(&value.to_be_bytes());
                return Some(());
            }
        }
        Width::Four => {
            let value = i32::try_from(value).ok()?;
            if format == Format::Binary {
                out.extend_from_slice(&value.to_be_bytes());
                return Some(());
            }
        }
        Width::Eight => {
            if format == Format::Binary {
                out.extend_from_slice(&value.to_be_bytes());
                return Some(());
            }
        }
    }
    write!(out, "{value}").ok()
}
