//! Who touched a canary: the kind of principal, its shortest name, and what stops it.
//!
//! Sources: AWS's user guide of IAM, "IAM identifiers" (the forms of ARNs); of IAM Identity Center, "Permission sets"
//! (its roles are named `AWSReservedSSO_{permission set}_{id}`).

use super::json::Json;
use crate::core::redacted::Redacted;

/// How the roles of IAM Identity Center begin.
const IDENTITY_CENTER: &str = "AWSReservedSSO_";

/// The kinds of principals that people stop in different ways. The texts are the intruder's to choose.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Principal {
    /// A session of an IAM role. Whoever assumes the role chooses the session's name.
    RoleSession { role: Redacted<String>, session: Redacted<String> },
    /// A user of IAM Identity Center, in the role of a permission set.
    IdentityCenter { permission_set: Redacted<String>, user: Redacted<String> },
    /// An IAM user.
    User(Redacted<String>),
    /// A session of `GetFederationToken`.
    FederatedUser(Redacted<String>),
    /// The root user of an account.
    Root(Redacted<String>),
    /// A user of Okta.
    Okta(Redacted<String>),
    /// An application of Microsoft Entra.
    Azure(Redacted<String>),
    /// An identity of workload identity federation.
    GoogleCloud(Redacted<String>),
    /// Another principal.
    Other(Redacted<String>),
    /// The log names none.
    Unknown,
}

impl Principal {
    /// The principal of a log.
    pub(super) fn of(log: &Json<'_>) -> Self {
        let member = |path: &[&str]| log.text(&[&["principal"], path].concat()).map(Redacted);
        let first = |paths: &[&[&str]]| paths.iter().find_map(|path| member(path));
        if let Some(arn) = member(&["aws", "arn"]) {
            return Self::of_arn(&arn).unwrap_or(Self::Other(arn));
        }
        let known = [
            (Self::Okta as fn(_) -> _, first(&[&["okta", "alternate_id"], &["okta", "id"]])),
            (Self::Azure, member(&["azure", "app_id"])),
            (Self::GoogleCloud, member(&["google_cloud", "federated_identity_subject"])),
            (Self::Other, first(&[&["aws", "username"], &["id"]])),
        ];
        known.into_iter().find_map(|(kind, name)| Some(kind(name?))).unwrap_or(Self::Unknown)
    }

    fn of_arn(arn: &str) -> Option<Self> {
        let text = |text: &str| (!text.is_empty()).then(|| Redacted(text.to_owned()));
        let [_, _, service, _, account, resource] = arn.splitn(6, ':').collect::<Vec<_>>().try_into().ok()?;
        match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => Some(Self::Root(text(account)?)),
            ("iam", Some(("user", path))) => Some(Self::User(text(path.rsplit('/').next()?)?)),
            ("sts", Some(("federated-user", name))) => Some(Self::FederatedUser(text(name)?)),
            ("sts", Some(("assumed-role", session))) => {
                let (role, session) = session.rsplit_once('/')?;
                let role = role.rsplit('/').next()?;
                match role.strip_prefix(IDENTITY_CENTER) {
                    Some(set) => {
                        let set = set.rsplit_once('_').map_or(set, |(set, _)| set);
                        Some(Self::IdentityCenter { permission_set: text(set)?, user: text(session)? })
                    }
                    None => Some(Self::RoleSession { role: text(role)?, session: text(session)? }),
                }
            }
            _ => None,
        }
    }

    /// The name by which a person knows it.
    pub(super) fn short(&self) -> Option<&str> {
        match self {
            Self::RoleSession { session: name, .. }
            | Self::IdentityCenter { user: name, .. }
            | Self::User(name)
            | Self::FederatedUser(name)
            | Self::Okta(name)
            | Self::Azure(name)
            | Self::GoogleCloud(name)
            | Self::Other(name) => Some(name),
            Self::Root(_) => Some("root"),
            Self::Unknown => None,
        }
    }

    /// What kind of principal it is, and its name. `harmless` makes the name so.
    pub(super) fn described(&self, harmless: impl Fn(&str) -> String) -> Option<String> {
        Some(match self {
            Self::RoleSession { role, session } => format!("role session {}/{}", harmless(role), harmless(session)),
            Self::IdentityCenter { permission_set, user } => {
                format!("Identity Center user {} with permission set {}", harmless(user), harmless(permission_set))
            }
            Self::User(name) => format!("IAM user {}", harmless(name)),
            Self::FederatedUser(name) => format!("federated user {}", harmless(name)),
            Self::Root(account) => format!("root user of account {}", harmless(account)),
            Self::Okta(name) => format!("Okta user {}", harmless(name)),
            Self::Azure(app) => format!("Entra application {}", harmless(app)),
            Self::GoogleCloud(subject) => format!("federated workload {}", harmless(subject)),
            Self::Other(name) => harmless(name),
            Self::Unknown => return None,
        })
    }

    /// Whom to ask whether they did it.
    pub(super) fn owner(&self, harmless: impl Fn(&str) -> String) -> String {
        match self {
            Self::RoleSession { role, .. } => {
                format!("the owner of role {} (whoever assumes a role chooses the session's name)", harmless(role))
            }
            Self::Root(account) => format!("the owner of account {}", harmless(account)),
            Self::Unknown => "the owner of the canary's account".to_owned(),
            other => format!("the owner of {}", other.described(harmless).unwrap_or_default()),
        }
    }

    /// What stops this kind of principal.
    pub(super) fn stop(&self, harmless: impl Fn(&str) -> String) -> String {
        match self {
            Self::RoleSession { role, .. } => format!("IAM > Roles > {} > Revoke sessions.", harmless(role)),
            Self::IdentityCenter { user, .. } => {
                format!("IAM Identity Center > Users > {} > disable access and end the sessions.", harmless(user))
            }
            Self::User(name) => {
                format!("IAM > Users > {} > deactivate the access keys and the console password.", harmless(name))
            }
            Self::FederatedUser(_) => {
                "IAM > deny everything to the user who called GetFederationToken, and rotate that user's keys."
                    .to_owned()
            }
            Self::Root(_) => "reset the root user's password and MFA device, and delete its access keys.".to_owned(),
            Self::Okta(name) => {
                format!("Okta > Directory > People > {} > clear the sessions, then suspend.", harmless(name))
            }
            Self::Azure(app) => {
                format!("Entra > Enterprise applications > {} > block sign-in, and remove its secrets.", harmless(app))
            }
            Self::GoogleCloud(_) => {
                "IAM & Admin > Workload Identity Federation > disable the provider that this subject used.".to_owned()
            }
            Self::Other(_) | Self::Unknown => {
                "find the identity in the platform's audit log, and disable it.".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn principal(principal: &Value) -> Principal {
        Principal::of(&Json::object(&json!({"principal": principal}).to_string()).unwrap())
    }

    #[test]
    fn each_kind_has_a_name_and_a_step_of_its_own() {
        let arn = |arn: &str| json!({"aws": {"arn": arn}, "id": "x"});
        for (of, described, short, stop) in [
            (
                arn("arn:aws:sts::210987654321:assumed-role/DataEngineer/dana@acme.example"),
                "role session DataEngineer/dana@acme.example",
                "dana@acme.example",
                "Roles > DataEngineer > Revoke sessions",
            ),
            (
                arn("arn:aws:sts::210987654321:assumed-role/AWSReservedSSO_Read_Only_0123456789abcdef/dana"),
                "Identity Center user dana with permission set Read_Only",
                "dana",
                "IAM Identity Center > Users > dana",
            ),
            (arn("arn:aws-cn:iam::210987654321:user/ops/ci/deploy"), "IAM user deploy", "deploy", "Users > deploy"),
            (arn("arn:aws:sts::210987654321:federated-user/bob"), "federated user bob", "bob", "GetFederationToken"),
            (
                arn("arn:aws:iam::210987654321:root"),
                "root user of account 210987654321",
                "root",
                "root user's password",
            ),
            (
                json!({"okta": {"id": "00u", "alternate_id": "sam@acme.example"}}),
                "Okta user sam@acme.example",
                "sam@acme.example",
                "suspend",
            ),
            (
                json!({"azure": {"app_id": "1b73"}, "id": "9b2d"}),
                "Entra application 1b73",
                "1b73",
                "Enterprise applications > 1b73",
            ),
            (
                json!({"google_cloud": {"federated_identity_subject": "repo:acme/site"}}),
                "federated workload repo:acme/site",
                "repo:acme/site",
                "Workload Identity Federation",
            ),
            (json!({"id": "key-7"}), "key-7", "key-7", "audit log"),
            (
                arn("arn:aws:sts::1:assumed-role/r"),
                "arn:aws:sts::1:assumed-role/r",
                "arn:aws:sts::1:assumed-role/r",
                "audit log",
            ),
        ] {
            let found = principal(&of);
            assert_eq!(found.described(str::to_owned).as_deref(), Some(described));
            assert_eq!(found.short(), Some(short));
            assert!(found.stop(str::to_owned).contains(stop), "{found:?}");
        }
        let none = principal(&json!(null));
        assert_eq!((none.described(str::to_owned), none.short()), (None, None));
        assert!(none.owner(str::to_owned).contains("canary's account"));
    }
}
