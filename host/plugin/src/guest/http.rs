use std::sync::Arc;

use grille_policy::{Body, Header};
use wasmtime::component::Resource;

use super::{Answer, Guest};
use crate::bindings::grille::policy::http_data;
use crate::bindings::handles::ExchangeHandle;

impl http_data::Host for Guest {}

impl http_data::HostExchange for Guest {
    fn method(&mut self, _: Resource<ExchangeHandle>) -> Answer<String> {
        Ok(self.exchange()?.method.to_string())
    }

    fn authority(&mut self, _: Resource<ExchangeHandle>) -> Answer<String> {
        Ok(self.exchange()?.authority.to_string())
    }

    fn path(&mut self, _: Resource<ExchangeHandle>) -> Answer<String> {
        Ok(self.exchange()?.path.to_string())
    }

    fn query(&mut self, _: Resource<ExchangeHandle>) -> Answer<Vec<(String, String)>> {
        Ok(self.exchange()?.query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    fn query_value(&mut self, _: Resource<ExchangeHandle>, name: String) -> Answer<Option<String>> {
        let query = &self.exchange()?.query;
        Ok(query.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.to_string()))
    }

    fn endpoint(&mut self, _: Resource<ExchangeHandle>) -> Answer<Option<String>> {
        Ok(self.exchange()?.endpoint.as_ref().map(|endpoint| endpoint.to_string()))
    }

    fn request_headers(&mut self, _: Resource<ExchangeHandle>) -> Answer<Vec<http_data::Header>> {
        Ok(headers(&self.exchange()?.headers))
    }

    fn request_header(&mut self, _: Resource<ExchangeHandle>, name: String) -> Answer<Option<Vec<u8>>> {
        Ok(header(&self.exchange()?.headers, &name))
    }

    fn request_body(&mut self, _: Resource<ExchangeHandle>, max: u32) -> Answer<Result<Vec<u8>, http_data::BodyError>> {
        Ok(body(&self.exchange()?.body, max))
    }

    fn status(&mut self, _: Resource<ExchangeHandle>) -> Answer<Option<u16>> {
        Ok(self.exchange()?.response.as_ref().map(|response| response.status))
    }

    fn response_headers(&mut self, _: Resource<ExchangeHandle>) -> Answer<Vec<http_data::Header>> {
        Ok(self.exchange()?.response.as_ref().map(|response| headers(&response.headers)).unwrap_or_default())
    }

    fn response_header(&mut self, _: Resource<ExchangeHandle>, name: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.exchange()?.response.as_ref().and_then(|response| header(&response.headers, &name)))
    }

    fn response_body(
        &mut self,
        _: Resource<ExchangeHandle>,
        max: u32,
    ) -> Answer<Result<Vec<u8>, http_data::BodyError>> {
        let response = self.exchange()?.response.as_ref();
        Ok(response.map_or(Err(http_data::BodyError::Gone), |response| body(&response.body, max)))
    }

    fn drop(&mut self, _: Resource<ExchangeHandle>) -> Answer<()> {
        Ok(())
    }
}

fn headers(headers: &[Header]) -> Vec<http_data::Header> {
    let field =
        |(name, value): &(Arc<str>, Arc<[u8]>)| http_data::Header { name: name.to_string(), value: value.to_vec() };
    headers.iter().map(field).collect()
}

fn header(headers: &[Header], name: &str) -> Option<Vec<u8>> {
    headers.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.to_vec())
}

fn body(body: &Body, max: u32) -> Result<Vec<u8>, http_data::BodyError> {
    match body {
        Body::Whole(bytes) if bytes.len() <= max as usize => Ok(bytes.to_vec()),
        Body::Whole(_) | Body::TooLarge => Err(http_data::BodyError::TooLarge),
        Body::Streamed => Err(http_data::BodyError::NotBuffered),
    }
}
