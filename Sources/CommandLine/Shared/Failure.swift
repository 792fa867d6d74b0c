import ArgumentParser
import Foundation
import MastCapture
import MastFiles
import MastLinkEmulator
import MastLinkInference
import MastLinkModel
import MastProcesses
import MastRPC
import MastTimebase
import MastUDPDriver
import MastWasmRuntime

/// How a command ends when it does not succeed: an exit code, and one line that says what happened and what to
/// do next.
struct Failure: Error, Sendable {
    var status: Int32
    var message: String
    /// Printed instead of the line, for commands whose output a program reads.
    var json: String?

    init(_ status: ExitStatus, _ message: String, json: String? = nil) {
        (self.status, self.message, self.json) = (status.rawValue, Failure.line(message), json)
    }

    func report() {
        if let json { Output.errorDocument(json) } else if !message.isEmpty { Output.note(message) }
    }

    /// Anything on one line.
    static func line(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: " ")
    }

    init(describing error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let code as ExitCode:
            self.init(ExitStatus(rawValue: code.rawValue), "")
        case let error as RPCError: self.init(error)
        case let error as CaptureError:
            switch error {
            case .cannotOpen: self.init(.noInput, "\(error)")
            case .cannotCapture: self.init(.unavailable, "\(error); mast capture --list shows what there is")
            case .cannotWrite: self.init(.unavailable, "\(error); choose another place")
            case .badFilter: self.init(.usage, "\(error); pcap-filter(7) has the language")
            case .notACapture: self.init(.badData, "\(error); give a file that tcpdump, Wireshark or mast wrote")
            }
        case let error as FileFailure:
            let status: ExitStatus = switch error.kind {
            case .usage: .usage
            case .badData: .badData
            case .noInput: .noInput
            case .unavailable: .unavailable
            }
            self.init(status, "\(error)")
        case let error as HostPort.Fault: self.init(.usage, "\(error)")
        case let error as SpawnFailure: self.init(.unavailable, "\(error)")
        case let error as NoSuchFlow: self.init(.badData, "\(error)")
        case let error as FitFailure: self.init(.badData, "\(error)")
        case let error as DeliveryTraceError: self.init(.badData, "\(error)")
        case let error as UDPRelayError: self.init(.unavailable, "\(error)")
        case let error as UDPDriverError: self.init(.unavailable, "\(error)")
        case let error as EngineError:
            switch error.kind {
            case .libraryMissing, .libraryMismatch, .libraryBroken: self.init(.unavailable, "\(error)")
            default: self.init(.badData, "\(error)")
            }
        case let error as DecodingError: self.init(.badData, "not the expected JSON: \(FileFailure.explain(error))")
        case is CancellationError: self.init(.call(.cancelled), "interrupted")
        default:
            if let known = Failure.cloudFailure(error) {
                self = known
            } else if MastCommand.exitCode(for: error) == .validationFailure {
                self.init(usage: error)
            } else if let words = Failure.systemWords(error) {
                self.init(.unavailable, words)
            } else {
                self.init(.ownFault, "\(error)")
            }
        }
    }

    /// A call's own status counts from 100; that nobody was reached is no call's status.
    init(_ error: RPCError) {
        let text = error.message.isEmpty ? error.code.name : error.message
        switch error.cause {
        case .unreachable:
            // A name that nobody has leads nowhere, whatever runs there.
            let advice = text.contains("cannot resolve") ? "check the name" : "check that the server runs there and that datagrams reach it"
            self.init(.unavailable, "\(text); \(advice)")
        default:
            let effect = error.effect == .none ? "" : "; effect \(error.effect)"
            let retry = error.retryAfter.map { "; try again in \($0.text)" } ?? ""
            self.init(.call(error.code), "\(error.code.name): \(text)\(effect)\(retry)\(Self.nextStep(error))")
        }
    }

    /// What the argument parser found.
    init(usage error: any Error) {
        let message = MastCommand.message(for: error)
        // The parser alone knows which subcommand it was at, and says so in its own last line.
        let help = MastCommand.fullMessage(for: error).matches(of: /See '([^']+)' for more information/).last.map { String($0.1) }
        let meant = Failure.command(meantBy: message, of: help ?? "mast --help").map { "; did you mean \($0)?" }
        self.init(.usage, Failure.line(message) + (meant ?? Failure.valueHint(message) ?? "; see \(help ?? "mast --help")"))
    }

    /// The subcommand that was meant by a word that nothing expected.
    /// - Parameter help: such as `mast link --help`.
    private static func command(meantBy message: String, of help: String) -> String? {
        guard let word = message.firstMatch(of: /nexpected arguments?:? '([^']+)'/)?.1 else { return nil }
        var (path, command): ([String], any ParsableCommand.Type) = (["mast"], MastCommand.self)
        func under(_ command: any ParsableCommand.Type) -> [(name: String, type: any ParsableCommand.Type)] {
            let all = command.configuration.subcommands + command.configuration.groupedSubcommands.flatMap(\.subcommands)
            return all.compactMap { type in type.configuration.shouldDisplay ? type.configuration.commandName.map { ($0, type) } : nil }
        }
        for name in help.split(separator: " ").dropFirst() where name != "--help" {
            guard let next = under(command).first(where: { $0.name == name }) else { return nil }
            path.append(next.name)
            command = next.type
        }
        return Suggestion.nearest(to: String(word), among: under(command).map(\.name)).map { (path + [$0]).joined(separator: " ") }
    }

    /// How the value that was not understood is written.
    private static func valueHint(_ message: String) -> String? {
        let forms = [
            ("<time>", "write a time like 250ms, 2s or 1.5m"), ("<rate>", "write a rate like 12mbit or 384kbit"),
            ("<share>", "write a share like 2% or 0.02"), ("<size>", "write a size like 64MiB or 10MB"),
            ("<key>", "a key is 43 letters, digits, - and _"), ("<calls>", "write a number of calls like 1000"),
            ("<from..to/time>", "write a ramp like 100..2000/30s"), ("<rates/time>", "write steps like 100,500,1000/10s or 100..1000+100/10s"),
        ]
        guard let value = message.firstMatch(of: /The value '(.*)' is invalid/) else { return nil }
        if message.contains("<address>") { return "; " + addressHint(String(value.1)) }
        return forms.first { message.contains($0.0) }.map { "; " + $0.1 }
    }

    private static func addressHint(_ value: String) -> String {
        let form = "write address:port, or a port alone"
        // A number alone was to be a port.
        guard !value.isEmpty, Int(value) == nil else { return "a port is a number of 0 to 65535; \(form)" }
        do throws(HostPort.Fault) {
            let target = try HostPort(value)
            if case .name(let name) = target.host { return "'\(name)' is a name; \(form)" }
            return form
        } catch {
            return "\(error); \(form)"
        }
    }

    /// An error of the system or of a library around it, in words; nil for others.
    static func systemWords(_ error: any Error) -> String? {
        if let error = error as? POSIXError { return String(cString: strerror(error.code.rawValue)) }
        guard type(of: error) is NSError.Type || error is CocoaError else { return nil }
        let error = error as NSError
        let underlying = error.userInfo[NSUnderlyingErrorKey] as? NSError ?? error
        let reason = underlying.domain == NSPOSIXErrorDomain ? String(cString: strerror(Int32(truncatingIfNeeded: underlying.code))) : underlying.localizedDescription
        let path = error.userInfo[NSFilePathErrorKey] as? String ?? (error.userInfo[NSURLErrorKey] as? URL)?.path
        return path.map { "cannot use \($0): \(reason)" } ?? reason
    }

    private static func nextStep(_ error: RPCError) -> String {
        switch (error.code, error.cause) {
        case (.deadlineExceeded, _): "; allow more time with --timeout"
        case (.permissionDenied, .remote): "; ask an operator, or give another --profile"
        case (.unavailable, .connectionLost), (.unavailable, .peerRestarted): "; the server went away: try again"
        default: ""
        }
    }
}
