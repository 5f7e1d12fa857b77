//! The few questions that are put to what `cargo metadata` prints.

use serde_json::Value;

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    /// Path from the root of the workspace.
    pub(crate) manifest: String,
    pub(crate) dependencies: Vec<Dependency<'a>>,
}

/// What a member's manifest asks for.
#[derive(Debug)]
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    /// Empty, `dev` or `build`.
    pub(crate) kind: &'a str,
}

/// All crates of the workspace.
pub(crate) fn members(metadata: &Value) -> Vec<Member<'_>> {
    let ids: Vec<&str> = list(metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    list(metadata, "packages")
        .iter()
        .filter(|package| ids.contains(&text(package, "id")))
        .map(|package| Member {
            name: text(package, "name"),
            manifest: relative(metadata, text(package, "manifest_path")),
            dependencies: list(package, "dependencies")
                .iter()
                .map(|dependency| Dependency {
                    name: text(dependency, "name"),
                    kind: text(dependency, "kind"),
                })
                .collect(),
        })
        .collect()
}

/// The path from the root of the workspace.
fn relative(metadata: &Value, path: &str) -> String {
    let rest = path.strip_prefix(text(metadata, "workspace_root"));
    rest.unwrap_or(path).trim_start_matches('/').to_owned()
}

/// A text; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A list; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

/// Values like those of cargo, for tests.
#[cfg(test)]
pub(crate) mod fixture {
    use serde_json::{Value, json};

    /// A workspace of members with names and kinds of their dependencies.
    pub(crate) fn workspace(members: &[(&str, &[(&str, &str)])]) -> Value {
        let packages = members.iter().map(|(name, dependencies)| {
            let dependencies = dependencies.iter().map(|(name, kind)| {
                let kind = if kind.is_empty() {
                    Value::Null
                } else {
                    json!(kind)
                };
                json!({ "name": name, "kind": kind })
            });
            json!({
                "name": name,
                "id": format!("path#{name}"),
                "manifest_path": format!("/x/crates/{name}/Cargo.toml"),
                "dependencies": dependencies.collect::<Vec<_>>(),
            })
        });
        let ids = members.iter().map(|(name, _)| format!("path#{name}"));
        json!({
            "packages": packages.collect::<Vec<_>>(),
            "workspace_members": ids.collect::<Vec<_>>(),
            "workspace_root": "/x",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_paths_from_the_root() {
        let metadata = fixture::workspace(&[("model", &[("ring", ""), ("netsim", "dev")])]);
        let members = members(&metadata);
        assert_eq!(members[0].manifest, "crates/model/Cargo.toml");
        let kinds: Vec<_> = members[0]
            .dependencies
            .iter()
            .map(|d| (d.name, d.kind))
            .collect();
        assert_eq!(kinds, [("ring", ""), ("netsim", "dev")]);
    }
}
