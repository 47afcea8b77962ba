use wasmtime::component::Resource;

use super::{Answer, Guest, texts};
use crate::bindings::grille::policy::context;
use crate::bindings::handles::SessionHandle;
use crate::memo::Question;

impl context::Host for Guest {}

impl context::HostSession for Guest {
    fn id(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::SessionId);
        Ok(self.session()?.id.to_string())
    }

    fn target(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Target);
        Ok(self.session()?.target.to_string())
    }

    fn protocol(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Protocol);
        Ok(self.session()?.protocol.to_string())
    }

    fn roles(&mut self, _: Resource<SessionHandle>) -> Answer<Vec<String>> {
        self.ask(|| Question::Roles);
        Ok(texts(&self.session()?.roles))
    }

    fn has_role(&mut self, _: Resource<SessionHandle>, role: String) -> Answer<bool> {
        self.ask(|| Question::HasRole(role.as_str().into()));
        Ok(self.session()?.roles.iter().any(|held| **held == *role))
    }

    fn listener(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Listener);
        Ok(self.session()?.listener.to_string())
    }

    fn peer(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Peer);
        Ok(self.session()?.peer.to_string())
    }

    fn client(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Client);
        Ok(self.session()?.client.to_string())
    }

    fn tls(&mut self, _: Resource<SessionHandle>) -> Answer<Option<String>> {
        self.ask(|| Question::Tls);
        Ok(self.session()?.tls.as_ref().map(|tls| tls.to_string()))
    }

    fn issuer(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Issuer);
        Ok(self.session()?.subject.issuer.to_string())
    }

    fn subject(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Subject);
        Ok(self.session()?.subject.sub.to_string())
    }

    fn display_name(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::DisplayName);
        Ok(self.session()?.subject.name.to_string())
    }

    fn groups(&mut self, _: Resource<SessionHandle>) -> Answer<Vec<String>> {
        self.ask(|| Question::Groups);
        Ok(texts(&self.session()?.subject.groups))
    }

    fn has_group(&mut self, _: Resource<SessionHandle>, group: String) -> Answer<bool> {
        self.ask(|| Question::HasGroup(group.as_str().into()));
        Ok(self.session()?.subject.groups.iter().any(|held| **held == *group))
    }

    fn actors(&mut self, _: Resource<SessionHandle>) -> Answer<Vec<context::Actor>> {
        self.ask(|| Question::Actors);
        let actors = self.session()?.subject.actors.iter();
        let actor = |actor: &grille_policy::Actor| context::Actor {
            issuer: actor.issuer.to_string(),
            subject: actor.sub.to_string(),
        };
        Ok(actors.map(actor).collect())
    }

    fn expires_at(&mut self, _: Resource<SessionHandle>) -> Answer<u64> {
        self.ask(|| Question::ExpiresAt);
        Ok(self.session()?.subject.expires_at)
    }

    fn claims(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        self.ask(|| Question::Claims);
        Ok(self.session()?.subject.claims.to_string())
    }

    fn drop(&mut self, _: Resource<SessionHandle>) -> Answer<()> {
        Ok(())
    }
}
