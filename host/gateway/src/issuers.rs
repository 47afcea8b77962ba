//! What becomes of issuers' keys is a record before a token is checked by one of them.

use grille_identity::{Issuer, IssuerEvent, Journal};
use grille_ledger::{IssuerKey, KeyEvent, Ledger, Record};

pub(crate) struct IssuerJournal(pub(crate) Ledger);

impl Journal for IssuerJournal {
    fn write(&self, issuer: &Issuer, event: &IssuerEvent) -> Result<(), String> {
        let (keys, failure) = match event {
            IssuerEvent::Keys(keys) => (&keys[..], None),
            IssuerEvent::Unreachable(why) => (&[][..], Some(why)),
        };
        let keys = keys.iter().map(|key| IssuerKey {
            kid: key.kid.as_deref().map(Into::into),
            thumbprint: key.thumbprint.as_str().into(),
            jwk: key.jwk.as_str().into(),
        });
        let event = KeyEvent {
            provider: (*issuer.name).into(),
            issuer: (*issuer.issuer).into(),
            keys: keys.collect(),
            failure: failure.map(|why| (**why).into()),
        };
        self.0.admin(&Record::Keys(event)).map(drop).map_err(|error| error.to_string())
    }
}
