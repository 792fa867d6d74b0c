import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastFiles
import MastLinkEmulator

struct ApplicationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "app", abstract: "The cloud's applications: WebAssembly modules, bytes in and bytes out.",
        subcommands: [Push.self, List.self, Remove.self, Samples.self])

    struct Push: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "push", abstract: "Give the cloud an application, or a new version of one.",
            discussion: "Needs an operator's profile; goes end to end to the center, which signs it and passes it to the stations.")

        @Argument(help: ArgumentHelp("A WebAssembly module.", valueName: "file"))
        var file: String?

        @Option(help: ArgumentHelp("Instead of a file, one of the samples that mast carries (mast app samples).", valueName: "name"))
        var sample: String?

        @Option(help: ArgumentHelp("The application's name; by default the file's.", valueName: "name"))
        var name: String?

        @Option(help: ArgumentHelp("The version's name; by default the release's number.", valueName: "version"))
        var version: String?

        @Option(help: ArgumentHelp("The exported function that a run calls; by default run.", valueName: "name"))
        var entry: String?

        @Option(help: ArgumentHelp("The most fuel of a run, about one an instruction.", valueName: "n"))
        var fuel: UInt64 = ApplicationLimits.standard.fuel

        @Option(help: ArgumentHelp("The most memory of a run.", valueName: "size"))
        var memory = ByteCount(Int(clamping: ApplicationLimits.standard.memoryBytes))

        @Option(help: ArgumentHelp("The most output of a run.", valueName: "size"))
        var outputSize = ByteCount(Int(clamping: ApplicationLimits.standard.outputBytes))

        @Flag(name: .customLong("no-audit"), help: "Runs are never repeated at another node to check the first: inputs then are at as few places as can be.")
        var refusesAudit = false

        @OptionGroup var cloud: CloudOptions
        @OptionGroup var output: OutputOptions

        func validate() throws {
            guard (file == nil) != (sample == nil) else { throw ValidationError("give a module's file or --sample NAME") }
            guard fuel > 0, outputSize.bytes > 0 else { throw ValidationError("--fuel and --output-size must be above 0: no run could end well") }
        }

        private struct Report: Encodable {
            var name, version, sha256: String
            var sizeBytes, releaseNumber, epoch: UInt64
            var warnings: [String]
            var effect: ChangeReport
        }

        func run() async throws {
            let (module, name) = try module()
            let limits = ApplicationLimits(fuel: fuel, memoryBytes: UInt64(memory.bytes), outputBytes: UInt64(outputSize.bytes))
            let (version, entry, refusesAudit, limit) = (version, entry, refusesAudit, cloud.timeout)
            let (reply, confirmation) = try await cloud.withCloud { client in
                let reply = try await client.pushApplication(module, name: name, version: version, entry: entry, limits: limits, refusesAudit: refusesAudit, timeout: limit) { sent in
                    Output.progress("\(name): \(TextLayout.bytes(sent)) of \(TextLayout.bytes(module.count))")
                }
                return (reply, await client.confirmation(of: reply.effect))
            }
            let effect = ChangeReport(confirmation)
            Output.endProgress()
            for warning in reply.warnings ?? [] { Output.note("\(name): \(warning)") }
            let pushed = reply.application
            if output.json {
                try Output.json(
                    Report(
                        name: pushed.name, version: pushed.version, sha256: pushed.digest.description, sizeBytes: pushed.sizeBytes,
                        releaseNumber: reply.releaseNumber.count, epoch: reply.releaseNumber.epoch, warnings: reply.warnings ?? [], effect: effect))
            } else {
                Output.line("\(pushed.name) \(pushed.version), \(TextLayout.bytes(Int(clamping: pushed.sizeBytes))), sha256 \(pushed.digest), release \(reply.releaseNumber)")
                Output.line(effect.line)
            }
        }

        private func module() throws -> (bytes: [UInt8], name: String) {
            if let sample {
                guard let bytes = SampleApplications.module(sample) else {
                    throw Failure(.usage, "there is no sample \(sample); see mast app samples")
                }
                return (bytes, name ?? sample)
            }
            let path = file ?? ""
            let bytes = try InputFile.read(path)
            guard bytes.starts(with: [0x00, 0x61, 0x73, 0x6D]) else {
                throw Failure(.badData, "\(path) is not a WebAssembly module; build one as Sources/Applications shows")
            }
            if let reason = ApplicationPackage.refusal(ofBytes: bytes.count) { throw Failure(.badData, "\(path): \(reason)") }
            let name = name ?? ScenarioFile.name(path)
            guard isValidName(name) else { throw Failure(.usage, "'\(name)' is not a name of letters, digits and -_.; give --name") }
            return (bytes, name)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the cloud's applications, by the center's book.")
        @OptionGroup var cloud: CloudOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let limit = cloud.timeout
            let list = try await cloud.withCloud { client in try await client.listApplications(timeout: limit) }
            ApplicationCommand.show(list, json: output.json)
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "rm", abstract: "Take an application out of the cloud.")
        @Argument(help: ArgumentHelp("The application's name.", valueName: "name"))
        var name: String
        @Option(help: ArgumentHelp("Only this version; without it, all.", valueName: "version"))
        var version: String?
        @OptionGroup var cloud: CloudOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let (name, version, limit) = (name, version, cloud.timeout)
            let (list, confirmation) = try await cloud.withCloud { client in
                let list = try await client.removeApplication(name, version: version, timeout: limit)
                guard let effect = list.effect else { return (list, nil as ChangeConfirmation?) }
                return (list, await client.confirmation(of: effect))
            }
            let effect = confirmation.map(ChangeReport.init)
            if output.json { ApplicationCommand.show(list, effect, json: true) } else if let effect { Output.line(effect.line) }
        }
    }

    struct Samples: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "samples", abstract: "List the sample applications that mast carries, or write them to a folder.")
        @Option(help: ArgumentHelp("Write them there, as NAME.wasm.", valueName: "folder"))
        var out: String?
        @OptionGroup var output: OutputOptions

        private struct Row: Encodable {
            var name, sha256: String
            var sizeBytes: Int
        }
        private struct Listing: Encodable { var samples: [Row] }

        func run() throws {
            var rows: [Row] = []
            if let out { try InputFile.makeFolder(out) }
            for (name, _) in SampleApplications.all {
                guard let bytes = SampleApplications.module(name) else { throw Failure(.ownFault, "the sample \(name) is damaged") }
                if let out { try InputFile.write(bytes, to: "\(out)/\(name).wasm") }
                rows.append(Row(name: name, sha256: ContentDigest(of: bytes).description, sizeBytes: bytes.count))
            }
            if output.json {
                try Output.json(Listing(samples: rows))
            } else {
                Output.table([["name", "size", "sha256"]] + rows.map { [$0.name, TextLayout.bytes($0.sizeBytes), $0.sha256] }, left: [0, 2])
            }
        }
    }

    fileprivate static func show(_ list: ApplicationList, _ effect: ChangeReport? = nil, json: Bool) {
        struct Row: Encodable {
            var name, version, sha256, entry: String
            var sizeBytes, fuelLimit, memoryLimitBytes: UInt64
            var newest, refusesAudit: Bool
        }
        struct Listing: Encodable {
            var releaseNumber, epoch: UInt64
            var applications: [Row]
            var effect: ChangeReport?
        }
        if json {
            let rows = list.applications.map {
                Row(
                    name: $0.name, version: $0.version, sha256: $0.digest.description, entry: $0.entry, sizeBytes: $0.sizeBytes,
                    fuelLimit: $0.limits.fuel, memoryLimitBytes: $0.limits.memoryBytes, newest: $0.isNewest, refusesAudit: $0.refusesAudit)
            }
            if let text = try? Output.jsonText(Listing(releaseNumber: list.releaseNumber.count, epoch: list.releaseNumber.epoch, applications: rows, effect: effect)) { Output.document(text) }
            return
        }
        let rows = [["name", "version", "size", "sha256", ""]] + list.applications.map {
            [$0.name, $0.version, TextLayout.bytes(Int(clamping: $0.sizeBytes)), String($0.digest.description.prefix(16)), ($0.isNewest ? "newest" : "") + ($0.refusesAudit ? " not repeated" : "")]
        }
        Output.table(rows, left: [0, 1, 3, 4])
    }
}

extension SampleApplications {
    /// A sample's module; nil for a name it does not know.
    static func module(_ name: String) -> [UInt8]? {
        all.first { $0.name == name }.flatMap { ByteString(base64: $0.base64)?.bytes }
    }
}
