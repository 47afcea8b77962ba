use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};

use super::*;

async fn get_json(url: &str) -> Value {
    reqwest::get(url).await.expect("answers").json().await.expect("JSON")
}

fn claims(token: &str, keys: &JwkSet, issuer: &str) -> Result<Value> {
    let header = decode_header(token)?;
    let key = keys.find(&header.kid.expect("a key id")).expect("a known key");
    let mut rules = Validation::new(header.alg);
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[issuer]);
    Ok(decode::<Value>(token, &DecodingKey::from_jwk(key)?, &rules)?.claims)
}

#[tokio::test]
async fn tokens_verify_with_the_published_keys() {
    let issuer = Issuer::start().await.expect("starts");
    let about = get_json(&format!("{}/.well-known/openid-configuration", issuer.url())).await;
    assert_eq!(about["grille_demo"], true);
    assert_eq!(about["issuer"], issuer.url());
    let keys: JwkSet =
        serde_json::from_value(get_json(about["jwks_uri"].as_str().expect("a URL")).await).expect("keys");

    for account in ACCOUNTS {
        let token = issuer.token(account.name).expect("signs");
        let claims = claims(&token, &keys, issuer.url()).unwrap_or_else(|e| panic!("{}: {e:#}", account.name));
        assert_eq!(claims["sub"], account.subject);
        assert_eq!(claims["groups"], json!(account.groups));
        assert_eq!(claims["act"]["sub"], json!(account.agent));
    }
    assert!(claims(&issuer.expired_token("analyst").expect("signs"), &keys, issuer.url()).is_err(), "it ran out");
    let foreign = Issuer::start().await.expect("starts").token("analyst").expect("signs");
    assert!(claims(&foreign, &keys, issuer.url()).is_err(), "another issuer's key");
    let error = issuer.token("admin").expect_err("unknown");
    assert!(error.to_string().contains("analyst, dba, reviewer, agent"), "{error:#}");
}

#[tokio::test]
async fn the_token_endpoint_wants_the_secret() {
    let issuer = Issuer::start().await.expect("starts");
    let ask = async |secret: &str, account: &str| {
        let request = reqwest::Client::new()
            .post(format!("{}/demo/token", issuer.url()))
            .bearer_auth(secret)
            .json(&json!({ "account": account }));
        request.send().await.expect("answers").status().as_u16()
    };
    assert_eq!(ask(issuer.secret(), "dba").await, 200);
    assert_eq!(ask("guessed", "dba").await, 401);
    assert_eq!(ask(issuer.secret(), "nobody").await, 400);
}
