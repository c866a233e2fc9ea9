//! What can go wrong when AWS is asked, sorted by what it means for us (reference `aws.md` section 2.1).
//!
//! Never keeps a credential, and never calls a request not sent that may have been.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::domain::text::Text;

/// Why a request did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody is signed in, or no longer; nothing was done.
    SignIn(Text),
    /// It never left: no name, no route, nobody listens.
    NotSent(Text),
    /// It may have arrived; no answer came.
    NoAnswer(Text),
    /// AWS asks us to be slower; nothing was done.
    Throttled(Text),
    /// We may not; the action is named. Nothing was done.
    Denied(Text),
    /// AWS will not, by a code of its own; nothing was done.
    Refused {
        /// `InstanceRefreshInProgress`.
        code: Text,
        /// In AWS's words.
        message: Text,
    },
    /// AWS failed, or answered with something that is no answer.
    Failed(Text),
}

impl Fault {
    /// Sorts what the SDK says of an action (`autoscaling:StartInstanceRefresh`).
    pub(super) fn of<E>(action: &str, error: &SdkError<E>) -> Fault
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let said = |why: &str| Text::new(&format!("{action}: {why}"));
        if let Some(why) = unsigned(error) {
            return Fault::SignIn(Text::new(&why));
        }
        match error {
            SdkError::ConstructionFailure(_) => Fault::NotSent(said(&innermost(error))),
            SdkError::TimeoutError(_) => Fault::NoAnswer(said("no answer in time")),
            SdkError::DispatchFailure(_) if never_connected(error) => Fault::NotSent(said(&innermost(error))),
            SdkError::DispatchFailure(_) => Fault::NoAnswer(said(&innermost(error))),
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let (code, message) = (service.err().code(), service.err().message());
                Fault::of_code(action, status, code.unwrap_or_default(), message.unwrap_or_default())
            }
            SdkError::ResponseError(_) => Fault::Failed(said("its answer can't be understood")),
            _ => Fault::NoAnswer(said(&innermost(error))),
        }
    }

    /// Sorts a status and an error code.
    fn of_code(action: &str, status: u16, code: &str, message: &str) -> Fault {
        let said = || Text::new(&format!("{action}: {}", if message.is_empty() { code } else { message }));
        match code {
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "InvalidToken" => Fault::SignIn(said()),
            // Also what a region answers that the account has not opted into.
            "AuthFailure" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
                Fault::SignIn(Text::new(&format!("{} (or the account has not enabled this region)", said())))
            }
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException" => Fault::Throttled(Text::new(&format!("{action}: AWS asks us to be slower"))),
            "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "OptInRequired" => {
                Fault::Denied(Text::new(&format!("{action} is not granted; allow it in the policy of this role")))
            }
            "" => Fault::Failed(Text::new(&format!("{action}: the server failed ({status})"))),
            // Although a 500: another update of the group is on its way, and this one was not begun.
            "ResourceContention" | "ResourceContentionFault" => Fault::refused(code, message),
            _ if status >= 500 => Fault::Failed(Text::new(&format!("{action}: the server failed: {code}"))),
            _ => Fault::refused(code, message),
        }
    }

    fn refused(code: &str, message: &str) -> Fault {
        Fault::Refused { code: Text::new(code), message: Text::new(message) }
    }

    /// The code, where AWS refused by one.
    pub(super) fn code(&self) -> &str {
        match self {
            Fault::Refused { code, .. } => code,
            Fault::SignIn(_)
            | Fault::NotSent(_)
            | Fault::NoAnswer(_)
            | Fault::Throttled(_)
            | Fault::Denied(_)
            | Fault::Failed(_) => "",
        }
    }

    /// In words.
    pub(super) fn text(&self) -> Text {
        Text::new(&self.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::SignIn(why)
            | Fault::NotSent(why)
            | Fault::NoAnswer(why)
            | Fault::Throttled(why)
            | Fault::Denied(why)
            | Fault::Failed(why) => why.fmt(formatter),
            Fault::Refused { code, message } if message.is_empty() => code.fmt(formatter),
            Fault::Refused { code, message } => write!(formatter, "{message} ({code})"),
        }
    }
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current)
    })
}

/// Why nobody is signed in, if that is it.
fn unsigned(error: &(dyn Error + 'static)) -> Option<String> {
    let found = sources(error).find_map(|source| source.downcast_ref::<CredentialsError>())?;
    Some(match found {
        CredentialsError::CredentialsNotLoaded(_) => "no credentials were found".to_string(),
        CredentialsError::ProviderTimedOut(_) => "the credentials did not come in time".to_string(),
        other => format!("the credentials can't be had: {}", innermost(other)),
    })
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    sources(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Whether the connection itself failed, so that no request can have gone over it.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(|source| {
        let by_client =
            source.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect());
        // Only a connection that is being made is refused; one that was made may become unreachable.
        let by_system = source
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        by_client || by_system
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_as_the_reference_says() {
        let of = |status, code: &str| Fault::of_code("autoscaling:StartInstanceRefresh", status, code, "words");
        for code in ["ExpiredToken", "RequestExpired", "ExpiredTokenException", "AuthFailure"] {
            assert!(matches!(of(400, code), Fault::SignIn(_)), "{code}");
        }
        for (status, code) in [(503, "RequestLimitExceeded"), (400, "Throttling"), (400, "ThrottlingException")] {
            assert!(matches!(of(status, code), Fault::Throttled(_)), "{code}");
        }
        for code in ["AccessDenied", "UnauthorizedOperation", "AccessDeniedException"] {
            let denied = of(403, code);
            assert!(matches!(&denied, Fault::Denied(why) if why.contains("StartInstanceRefresh")), "{denied}");
        }
        assert_eq!(of(400, "InstanceRefreshInProgress").to_string(), "words (InstanceRefreshInProgress)");
        assert_eq!(of(500, "ResourceContention").code(), "ResourceContention");
        assert!(matches!(of(500, ""), Fault::Failed(_)));
        assert!(matches!(of(500, "InternalFailure"), Fault::Failed(_)));
    }
}
