//! The parameters of `accounts.connect`, as they become an account's configuration. A credential goes into
//! the vault first: what is journaled knows its id only.

use crate::{
    domain::{
        account::{AccountConfig, AccountMode, LinkSettings, PAPER, PositionMode, VENUE},
        config::Limits,
        id::{AccountId, SecretId, Symbol},
        message::{ErrorCode, Refusal},
        money::Currency,
    },
    gateway::{
        context::Context,
        limits::TEXT_CHARS,
        wire::{Secret, WireDecimal, check_text, conflict, invalid, missing},
    },
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

const LEVERAGE: u32 = 100;
const DEPOSIT: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
const ADDRESS_CHARS: usize = 255;

/// What an account is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectParams {
    /// Of an account that is there, or of the one to be added.
    #[serde(default)]
    account_id: Option<AccountId>,
    /// `paper` or `venue`; absent: the account is there already.
    #[serde(default)]
    connector: Option<String>,
    /// `paper` of connector `paper`; `demo` of connector `venue`.
    #[serde(default)]
    mode: Option<AccountMode>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    settings: Option<Settings>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    /// USD unless told.
    currency: Option<String>,
    /// 100 unless told.
    leverage: Option<u32>,
    /// `hedging` unless told.
    position_mode: Option<PositionMode>,
    /// Of a paper account; 10000 unless told.
    deposit: Option<WireDecimal>,
    /// Of a paper account, in the account's currency.
    commission_per_lot: Option<WireDecimal>,
    /// Empty: all.
    allowed_symbols: Vec<Symbol>,
    /// Of connector `venue`: where it is, as `host:port`.
    address: Option<String>,
    /// Of connector `venue`: the account's name there.
    login: Option<String>,
    /// Of connector `venue`: the credential. It is kept in the vault.
    token: Option<Secret>,
}

impl ConnectParams {
    /// Which account is meant.
    pub fn account_id(&self) -> Result<AccountId, Refusal> {
        self.account_id.clone().ok_or_else(|| missing("accountId"))
    }

    /// The account that is asked for; `None` if an existing one is meant.
    pub async fn settings(self, context: &Context) -> Result<Option<AccountConfig>, Refusal> {
        let id = self.account_id()?;
        let Some(connector) = self.connector else {
            return match (&self.mode, &self.label, &self.settings) {
                (None, None, None) => Ok(None),
                _ => Err(missing("connector")),
            };
        };
        let settings = self.settings.unwrap_or_default();
        if let Some(label) = &self.label {
            check_text("label", label, TEXT_CHARS)?;
        }
        let (mode, link) = match connector.as_str() {
            PAPER => (paper_mode(self.mode)?, settings.no_link()?),
            VENUE => (venue_mode(self.mode)?, Some(settings.link(context).await?)),
            _ => return Err(invalid("CONNECTOR_UNKNOWN", "connector", "must be `paper` or `venue`")),
        };
        let currency = match &settings.currency {
            None => Currency::USD,
            Some(code) => Currency::new(code)
                .ok_or_else(|| invalid("OUT_OF_RANGE", "settings.currency", "must be such as \"USD\""))?,
        };
        let paper = connector == PAPER;
        Ok(Some(AccountConfig {
            label: self.label.unwrap_or_else(|| id.to_string()),
            id,
            mode,
            connector,
            currency,
            leverage: settings.leverage.unwrap_or(LEVERAGE),
            position_mode: settings.position_mode.unwrap_or(PositionMode::Hedging),
            deposit: settings.deposit.map_or(if paper { DEPOSIT } else { Decimal::ZERO }, |d| d.0),
            commission_per_lot: settings.commission_per_lot.map_or(Decimal::ZERO, |c| c.0),
            allowed_symbols: settings.allowed_symbols,
            limits: Limits::default(),
            link,
            added: true,
        }))
    }
}

fn paper_mode(mode: Option<AccountMode>) -> Result<AccountMode, Refusal> {
    match mode {
        None | Some(AccountMode::Paper) => Ok(AccountMode::Paper),
        Some(_) => Err(conflict("mode", "an account of connector `paper` has mode `paper`")),
    }
}

fn venue_mode(mode: Option<AccountMode>) -> Result<AccountMode, Refusal> {
    match mode {
        None | Some(AccountMode::Demo) => Ok(AccountMode::Demo),
        Some(AccountMode::Paper) => {
            Err(conflict("mode", "an account of connector `venue` is no paper account"))
        }
        Some(AccountMode::Live) => {
            Err(Refusal::new(ErrorCode::AuthForbidden, "LIVE_DISABLED", "this gateway does not trade live"))
        }
    }
}

impl Settings {
    fn no_link(&self) -> Result<Option<LinkSettings>, Refusal> {
        let given = [
            ("settings.address", self.address.is_some()),
            ("settings.login", self.login.is_some()),
            ("settings.token", self.token.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((path, _)) => Err(conflict(path, "an account of connector `paper` has none")),
            None => Ok(None),
        }
    }

    async fn link(&self, context: &Context) -> Result<LinkSettings, Refusal> {
        let given = [
            ("settings.deposit", self.deposit.is_some()),
            ("settings.commissionPerLot", self.commission_per_lot.is_some()),
        ];
        if let Some((path, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(conflict(path, "its venue keeps the books of such an account"));
        }
        let address = self.address.clone().ok_or_else(|| missing("settings.address"))?;
        let login = self.login.clone().ok_or_else(|| missing("settings.login"))?;
        check_text("settings.address", &address, ADDRESS_CHARS)?;
        check_text("settings.login", &login, 64)?;
        let port = address
            .rsplit_once(':')
            .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok()).flatten());
        if port.is_none() {
            return Err(invalid("OUT_OF_RANGE", "settings.address", "must be host:port"));
        }
        let secret: Option<SecretId> = match &self.token {
            None => None,
            Some(token) => {
                check_text("settings.token", token.expose(), 4_096)?;
                Some(context.handle.seal(token.expose().to_owned()).await?)
            }
        };
        Ok(LinkSettings { address, login, secret })
    }
}
