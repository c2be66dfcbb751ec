// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`KeptAttributes`]: the attributes of a record, in a form that is cheap in great numbers.

use std::fmt;
use std::ops::Deref;

/// The attributes of an IPv6 route with its gateway, and more than most have. With it the whole takes 64
/// bytes.
const SHORT_LEN_MAX: usize = 62;

/// Attributes in sequence. Those of a route are mostly short, and a host may have a hundred
/// thousand routes: short ones take no memory of their own, which would have to be freed one by
/// one.
#[derive(Clone)]
pub(super) enum KeptAttributes {
    Short { len: u8, bytes: [u8; SHORT_LEN_MAX] },
    Long(Box<[u8]>),
}

impl Default for KeptAttributes {
    fn default() -> Self {
        Self::Short { len: 0, bytes: [0; SHORT_LEN_MAX] }
    }
}

impl Deref for KeptAttributes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for KeptAttributes {
    fn from(list: &[u8]) -> Self {
        let mut bytes = [0; SHORT_LEN_MAX];
        match (bytes.get_mut(..list.len()), u8::try_from(list.len())) {
            (Some(short), Ok(len)) => {
                short.copy_from_slice(list);
                Self::Short { len, bytes }
            }
            _ => Self::Long(list.into()),
        }
    }
}

impl From<Vec<u8>> for KeptAttributes {
    fn from(list: Vec<u8>) -> Self {
        Self::from(list.as_slice())
    }
}

impl PartialEq for KeptAttributes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for KeptAttributes {}

impl fmt::Debug for KeptAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_ones_are_kept_alike() {
        assert_eq!(size_of::<KeptAttributes>(), 64);
        assert_eq!(*KeptAttributes::default(), []);
        for len in [0, 1, SHORT_LEN_MAX, SHORT_LEN_MAX + 1, 4096] {
            let list: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            let kept = KeptAttributes::from(list.as_slice());
            assert_eq!(*kept, list);
            assert_eq!(kept, kept.clone());
            assert_eq!(matches!(kept, KeptAttributes::Short { .. }), len <= SHORT_LEN_MAX);
            let others = [list.as_slice(), &[0]].concat();
            assert_ne!(kept, KeptAttributes::from(others));
        }
    }
}
