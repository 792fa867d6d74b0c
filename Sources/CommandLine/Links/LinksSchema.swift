/// The written form of what the commands for links and captures print with `--json`: names, units, and when a value is null.
enum LinksSchema {
    /// A JSON Schema (2020-12).
    static var text: String { String(decoding: PackageResources.links_schema_json, as: UTF8.self) }
}
