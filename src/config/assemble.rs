//! Assembles a profile from settings, and refuses contradictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::types::secret::Secret;

use super::endpoint::url_text;
use super::files::{read_named, warn_if_replaceable, warn_if_shared};
use super::layers::Layers;
use super::origin::Origin;
use super::settings::{
    ACCESS_TOKEN, ACCOUNT, APPLICATION, AUTHORIZATION, DATABASE, HOST, KEY, KEY_FILE,
    OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET, OAUTH_INCLUDE_SCOPE, OAUTH_REFRESH_TOKEN, OAUTH_SCOPE,
    OAUTH_TOKEN_ENDPOINT, PASSPHRASE, PORT, ROLE, SCHEMA, SCHEME, SPCS_TOKEN_PATH, Setting,
    TOKEN_FILE, URL, USER, WAREHOUSE, WORKLOAD_IDENTITY_PROVIDER,
};
use super::{KeySource, Kind, OAuthParts, Profile, config};
use crate::types::error::Result;

type Origins = BTreeMap<&'static str, Origin>;

impl Profile {
    pub(super) fn assemble(layers: &Layers) -> Result<Self> {
        let mut origins = Origins::new();
        let kind = kind(layers, &mut origins)?;
        refuse_foreign(layers, kind)?;
        let mut text = |setting: &Setting| layers.read(setting, &mut origins);
        let mut profile = Self {
            account: text(&ACCOUNT).ok_or_else(|| ACCOUNT.missing())?,
            user: text(&USER),
            role: text(&ROLE),
            url: None,
            database: text(&DATABASE),
            schema: text(&SCHEMA),
            warehouse: text(&WAREHOUSE),
            application: text(&APPLICATION),
            kind,
            key: None,
            passphrase: None,
            oauth: OAuthParts::default(),
            access_token: None,
            token_file: None,
            origins: Origins::new(),
        };
        profile.url = url(layers, &mut origins)?;
        match kind {
            Kind::KeyPair => {
                profile.key = key(layers, &mut origins)?;
                profile.passphrase = layers.read(&PASSPHRASE, &mut origins).map(Secret::from);
            }
            Kind::OAuth => profile.oauth = oauth(layers, &mut origins)?,
            Kind::AccessToken => {
                (profile.access_token, profile.token_file) = access_token(layers, &mut origins)?;
            }
            Kind::TokenFile => profile.token_file = token_file(layers, &mut origins),
            Kind::WorkloadIdentity(_) => {
                profile.token_file = Some(workload_token_file(layers, &mut origins)?);
            }
        }
        if let (Kind::TokenFile | Kind::WorkloadIdentity(_), Some(file)) =
            (kind, &profile.token_file)
        {
            warn_if_replaceable("token file", file);
        }
        profile.origins = origins;
        profile.account_identifier()?;
        profile.account_url()?;
        profile.application()?;
        match kind {
            Kind::KeyPair if profile.user.is_none() => return Err(USER.missing()),
            Kind::AccessToken if profile.access_token.is_none() => {
                return Err(ACCESS_TOKEN.missing());
            }
            Kind::OAuth => {
                profile.oauth.complete()?;
            }
            _ => {}
        }
        Ok(profile)
    }
}

/// The authorization from the first place that sets it. The default is a key pair.
fn kind(layers: &Layers, origins: &mut Origins) -> Result<Kind> {
    let Some(named) = layers.find(&AUTHORIZATION) else {
        return Ok(Kind::KeyPair);
    };
    origins.insert(AUTHORIZATION.key, named.origin.clone());
    // The official SDK's names, then those of the Snowflake CLI and drivers.
    match named.text.to_ascii_uppercase().as_str() {
        "JWT" | "KEYPAIR_JWT" | "SNOWFLAKE_JWT" => Ok(Kind::KeyPair),
        "OAUTH" | "OAUTH_CLIENT_CREDENTIALS" => oauth_kind(layers),
        "PAT" | "PROGRAMMATIC_ACCESS_TOKEN" => Ok(Kind::AccessToken),
        "SPCS" => Ok(Kind::TokenFile),
        "WORKLOAD_IDENTITY" => workload_identity(layers, origins),
        _ => Err(config(format!(
            "{} (from {}) must be JWT or SNOWFLAKE_JWT, OAUTH or OAUTH_CLIENT_CREDENTIALS, PAT or PROGRAMMATIC_ACCESS_TOKEN, SPCS, or WORKLOAD_IDENTITY: streaming supports no other login",
            AUTHORIZATION.key, named.origin
        ))),
    }
}

/// In the Snowflake drivers `OAUTH` also means an access token that is given, not fetched.
fn oauth_kind(layers: &Layers) -> Result<Kind> {
    if layers.find(&OAUTH_CLIENT_ID).is_some() {
        Ok(Kind::OAuth)
    } else if layers.find(&TOKEN_FILE).is_some() {
        Ok(Kind::TokenFile)
    } else if layers.find(&ACCESS_TOKEN).is_some() {
        Err(config(format!(
            "a fixed OAuth access token expires while the client runs; set {} and {}, or {} for a file in which the token is renewed",
            OAUTH_CLIENT_ID.key, OAUTH_CLIENT_SECRET.key, TOKEN_FILE.key
        )))
    } else {
        Ok(Kind::OAuth)
    }
}

fn workload_identity(layers: &Layers, origins: &mut Origins) -> Result<Kind> {
    let provider = layers.read(&WORKLOAD_IDENTITY_PROVIDER, origins);
    let provider = provider.ok_or_else(|| WORKLOAD_IDENTITY_PROVIDER.missing())?;
    provider.parse().map(Kind::WorkloadIdentity)
}

/// The file of a workload identity's token. The drivers fetch the tokens of clouds themselves, and take one that is given.
fn workload_token_file(layers: &Layers, origins: &mut Origins) -> Result<PathBuf> {
    let file = layers.read(&TOKEN_FILE, origins).map(PathBuf::from);
    file.ok_or_else(|| {
        config(format!(
            "a workload identity needs a file in which its token is renewed, because the token expires while the client runs; set {}",
            TOKEN_FILE.names()
        ))
    })
}

/// Refuses credentials of another kind, unless they come from a later place than the setting that chose the kind.
fn refuse_foreign(layers: &Layers, kind: Kind) -> Result<()> {
    let decided = layers
        .find(&AUTHORIZATION)
        .or_else(|| layers.find(&KEY))
        .or_else(|| layers.find(&KEY_FILE))
        .map_or(layers.0.len(), |found| found.rank);
    let mut foreign: Vec<&Setting> = Vec::new();
    if kind != Kind::KeyPair {
        foreign.extend([&KEY, &KEY_FILE]);
    }
    if kind != Kind::OAuth {
        foreign.extend([&OAUTH_CLIENT_ID, &OAUTH_CLIENT_SECRET, &OAUTH_REFRESH_TOKEN]);
    }
    if kind != Kind::AccessToken {
        foreign.push(&ACCESS_TOKEN);
    }
    let found = foreign.into_iter().find_map(|setting| {
        let found = layers.find(setting)?;
        (found.rank <= decided).then_some((setting, found))
    });
    match found {
        None => Ok(()),
        Some((setting, found)) => Err(config(format!(
            "{:?} is set (from {}), but {} is {}; remove one or change the other",
            setting.key,
            found.origin,
            AUTHORIZATION.key,
            kind.name()
        ))),
    }
}

/// The account URL, from `url` or from its parts. The setting with the higher precedence decides which.
fn url(layers: &Layers, origins: &mut Origins) -> Result<Option<String>> {
    let rank = |setting| layers.find(setting).map_or(usize::MAX, |found| found.rank);
    let whole = if rank(&URL) <= rank(&HOST) {
        layers.read(&URL, origins)
    } else {
        None
    };
    let mut unless_whole = |setting| match whole {
        Some(_) => None,
        None => layers.read(setting, origins),
    };
    let (host, port) = (unless_whole(&HOST), unless_whole(&PORT));
    let scheme = layers.read(&SCHEME, origins);
    url_text(whole, scheme.as_deref(), host, port)
}

fn key(layers: &Layers, origins: &mut Origins) -> Result<Option<KeySource>> {
    let Some((setting, found)) = layers.one_of(&[&KEY, &KEY_FILE])? else {
        return Ok(None);
    };
    origins.insert(setting.key, found.origin.clone());
    Ok(Some(if setting.key == KEY.key {
        KeySource::Text(Secret::from(found.text))
    } else {
        KeySource::File(PathBuf::from(found.text))
    }))
}

fn oauth(layers: &Layers, origins: &mut Origins) -> Result<OAuthParts> {
    let include_scope = match layers.read(&OAUTH_INCLUDE_SCOPE, origins) {
        None => true,
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(_) => {
            return Err(config(format!(
                "{} must be true or false",
                OAUTH_INCLUDE_SCOPE.key
            )));
        }
    };
    // An endpoint from a later place belongs to another client, and must not get this client's secret.
    let rank = |setting| layers.find(setting).map_or(usize::MAX, |found| found.rank);
    let is_own =
        rank(&OAUTH_TOKEN_ENDPOINT) <= rank(&OAUTH_CLIENT_ID).max(rank(&OAUTH_CLIENT_SECRET));
    let mut text = |setting| layers.read(setting, origins);
    Ok(OAuthParts {
        client_id: text(&OAUTH_CLIENT_ID),
        client_secret: text(&OAUTH_CLIENT_SECRET).map(Secret::from),
        refresh_token: text(&OAUTH_REFRESH_TOKEN).map(Secret::from),
        token_endpoint: is_own.then(|| text(&OAUTH_TOKEN_ENDPOINT)).flatten(),
        scope: text(&OAUTH_SCOPE),
        include_scope,
    })
}

/// The token, and the file that it is from.
fn access_token(
    layers: &Layers,
    origins: &mut Origins,
) -> Result<(Option<Secret>, Option<PathBuf>)> {
    let Some((setting, found)) = layers.one_of(&[&ACCESS_TOKEN, &TOKEN_FILE])? else {
        return Ok((None, None));
    };
    origins.insert(setting.key, found.origin.clone());
    if setting.key == ACCESS_TOKEN.key {
        return Ok((Some(Secret::from(found.text)), None));
    }
    let file = Path::new(found.text);
    warn_if_shared("access token", file);
    let bytes = read_named("access token", file)?;
    let token = std::str::from_utf8(&bytes).ok().map(str::trim);
    token
        .filter(|token| !token.is_empty())
        .map(|token| (Some(Secret::from(token)), Some(file.to_owned())))
        .ok_or_else(|| {
            config(format!(
                "the access token {} is empty or not text; write only the token into the file",
                file.display()
            ))
        })
}

/// The file of a token that another program renews. `None` stands for the default path of Snowpark Container Services.
fn token_file(layers: &Layers, origins: &mut Origins) -> Option<PathBuf> {
    let spcs = layers
        .find(&AUTHORIZATION)
        .is_some_and(|kind| kind.text.eq_ignore_ascii_case("SPCS"));
    let setting = if spcs && layers.find(&SPCS_TOKEN_PATH).is_some() {
        &SPCS_TOKEN_PATH
    } else {
        &TOKEN_FILE
    };
    layers.read(setting, origins).map(PathBuf::from)
}

impl OAuthParts {
    /// The client id and secret, both of which are required.
    pub(super) fn complete(&self) -> Result<(&str, &Secret)> {
        let id = self.client_id.as_deref();
        let secret = self.client_secret.as_ref();
        Ok((
            id.ok_or_else(|| OAUTH_CLIENT_ID.missing())?,
            secret.ok_or_else(|| OAUTH_CLIENT_SECRET.missing())?,
        ))
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::KeyPair => "JWT, its default",
            Self::OAuth => "OAUTH",
            Self::AccessToken => "PAT",
            Self::TokenFile => "SPCS",
            Self::WorkloadIdentity(_) => "WORKLOAD_IDENTITY",
        }
    }
}
