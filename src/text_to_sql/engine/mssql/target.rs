//! What the URL of an SQL Server database may say, and how the driver logs in with it.

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tiberius::{AuthMethod, Config, EncryptionLevel};
use url::Url;

use super::tls::{Encryption, Tls};
use crate::text_to_sql::engine::EngineError;

/// What a URL says, once nothing in it can make the driver read a file or look elsewhere.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: SecretString,
    pub(super) database: String,
    pub(super) tls: Tls,
}

/// Where the server listens when the URL does not say.
const PORT: u16 = 1433;

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, EngineError> {
        let url =
            Url::parse(url).map_err(|_| invalid("this is not a URL; is a character in the password not escaped?"))?;
        let (mut encryption, mut trusted, mut certificate_name) = (Encryption::On, false, None);
        for (name, value) in url.query_pairs() {
            // Microsoft's drivers write these names in three ways.
            match name.replace('_', "").to_ascii_lowercase().as_str() {
                "encrypt" => encryption = encryption_named(&value)?,
                "trustservercertificate" => trusted = boolean(&value)?,
                "hostnameincertificate" => certificate_name = Some(value.into_owned()),
                "applicationname" => (),
                // Others name instances, read files of this machine, or change the session behind our back.
                _ => return Err(invalid(&format!("the parameter {name:?} is not allowed in a URL"))),
            }
        }
        let host = decoded(url.host_str().unwrap_or_default())?;
        let user = decoded(url.username())?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        if [&host, &user, &database].iter().any(|part| part.is_empty()) {
            return Err(invalid(
                "an SQL Server URL names a user, a host and a database: mssql://user:…@host:1433/database",
            ));
        }
        if host.contains('\\') {
            return Err(invalid(
                "named instances are not looked up; write the instance's port: mssql://user:…@host:1433/database",
            ));
        }
        let tls = Tls::new(encryption, trusted, certificate_name);
        let password = decoded(url.password().unwrap_or_default())?.into();
        Ok(Self { host, port: url.port().unwrap_or(PORT), user, password, database, tls })
    }

    /// The wire does the encryption, and we the waiting; nothing is left to the driver's defaults.
    pub(super) fn config(&self, host: &str) -> Config {
        let mut config = Config::new();
        config.host(host);
        config.port(self.port);
        config.database(&self.database);
        config.authentication(AuthMethod::sql_server(&self.user, self.password.expose_secret()));
        config.application_name("almanac");
        config.client_name("almanac");
        config.encryption(EncryptionLevel::NotSupported);
        config.readonly(true);
        config.handshake_timeout(None);
        config.command_timeout(None);
        // Old rows hold text that is no UTF-16; one of them is no reason to lose the others.
        config.lossy_utf16_decoding(true);
        config
    }
}

/// In our words, and in those of Microsoft's drivers, where `false` still encrypts the login.
fn encryption_named(value: &str) -> Result<Encryption, EngineError> {
    match value.to_ascii_lowercase().as_str() {
        "strict" => Ok(Encryption::Strict),
        "on" | "true" | "yes" | "mandatory" => Ok(Encryption::On),
        "login" | "false" | "no" | "optional" => Ok(Encryption::Login),
        "off" => Ok(Encryption::Off),
        _ => Err(invalid("encrypt is one of strict, on, login, off")),
    }
}

fn boolean(value: &str) -> Result<bool, EngineError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => Err(invalid("trust_server_certificate is true or false")),
    }
}

fn invalid(message: &str) -> EngineError {
    EngineError::InvalidUrl(message.to_owned())
}

fn decoded(part: &str) -> Result<String, EngineError> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| invalid("the URL is not UTF-8"))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_with_its_escapes() {
        let target = Target::parse("mssql://a%40b:p%2Fw%3A@db.example:14330/my%20db?encrypt=strict").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("db.example", 14330));
        assert_eq!((target.user.as_str(), target.database.as_str()), ("a@b", "my db"));
        assert_eq!(target.password.expose_secret(), "p/w:");
        assert_eq!(target.tls.encryption, Encryption::Strict);
        let target = Target::parse("sqlserver://sa:x@[::1]/d").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.tls.encryption), ("[::1]", PORT, Encryption::On));
    }

    #[test]
    fn urls_cannot_read_files_or_change_the_session() {
        for parameter in [
            "TrustServerCertificateCA=/etc/shadow",
            "instance=secret",
            "failover_partner=x",
            "integratedSecurity=true",
            "encrypt=nonsense",
            "trust_server_certificate=perhaps",
            "database=secret",
            "packet_size=1",
        ] {
            let parsed = Target::parse(&format!("mssql://u:secret@h/d?{parameter}"));
            let Err(EngineError::InvalidUrl(message)) = parsed else { panic!("{parameter} must be refused") };
            assert!(!message.contains("secret") && !message.contains("/etc"), "{message}");
        }
        for incomplete in ["mssql://h/d", "mssql://u@/d", "mssql://u@h", "mssql://u:p@h%5CSQLEXPRESS/d"] {
            assert!(Target::parse(incomplete).is_err(), "{incomplete}");
        }
    }

    #[test]
    fn encryption_is_asked_for_in_our_words_and_in_microsofts() {
        for (word, encryption) in [
            ("encrypt=Mandatory", Encryption::On),
            ("Encrypt=false", Encryption::Login),
            ("encrypt=off", Encryption::Off),
            ("encrypt=login&TrustServerCertificate=yes&hostNameInCertificate=db.example", Encryption::Login),
        ] {
            let target = Target::parse(&format!("mssql://u:p@h/d?{word}")).unwrap();
            assert_eq!(target.tls.encryption, encryption, "{word}");
        }
    }
}
