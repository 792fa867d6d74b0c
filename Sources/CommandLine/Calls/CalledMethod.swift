import ArgumentParser
import Foundation
import MastCalls

/// Which method of which server is called, and with what metadata.
struct CalledMethod: ParsableArguments {
    @Argument(help: ArgumentHelp("The server, as host:port (port \(DefaultPort.calls) if left out).", valueName: "host"))
    var host: String

    @Argument(help: ArgumentHelp("Such as echo.v1.Echo/say.", valueName: "service/method"))
    var method: String

    @Option(name: [.customShort("H"), .long], help: ArgumentHelp("Metadata, as name:value; may be repeated.", valueName: "name:value"))
    var header: [String] = []

    @Flag(help: "Send fields that the method's type does not have, too.")
    var allowUnknownFields = false

    /// Before it is sent: whether the method's type has all of a request's fields.
    /// - Parameter shape: nil where the server does not show it.
    func check(_ request: [UInt8], _ shape: MessageShape?) throws(Failure) {
        guard !allowUnknownFields, let unknown = shape?.firstUnknown(in: request) else { return }
        let known = unknown.suggestion.map { "did you mean \($0)?" } ?? (unknown.known.isEmpty ? "it has none" : "it has \(unknown.known.prefix(20).joined(separator: ", "))")
        throw Failure(.call(.invalidArgument), "invalidArgument: \(method) has no field \(unknown.path); \(known) (--allow-unknown-fields sends it all the same)")
    }

    /// Of a method that the server does not have.
    func missing(_ client: RPCClient, _ options: CallOptions) async -> Failure {
        let known = (try? await client.listMethods(options: options).map(\.path)) ?? []
        let next = Suggestion.nearestPath(to: method, among: known).map { "did you mean \($0)?" } ?? "see mast list \(host)"
        return Failure(.call(.unimplemented), "unimplemented: \(host) has no method \(method); \(next)")
    }

    func validate() throws {
        guard method.split(separator: "/", omittingEmptySubsequences: false).count == 2 else {
            throw ValidationError("'\(method)' is not SERVICE/METHOD, such as echo.v1.Echo/say")
        }
        for text in header where text.firstIndex(of: ":").map({ $0 == text.startIndex }) ?? true {
            throw ValidationError("'\(text)' is not NAME:VALUE")
        }
    }

    var metadata: Metadata {
        var metadata: Metadata = [:]
        for text in header {
            guard let colon = text.firstIndex(of: ":") else { continue }
            metadata.add(String(text[..<colon]), text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces))
        }
        return metadata
    }
}
