import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastDatagrams
import MastFiles

struct PoolCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool", abstract: "The results of runs that are kept on this machine.",
        subcommands: [List.self, Show.self, Get.self, Remove.self, Statistics.self, Pin.self, SetQuota.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List results, newest first.")
        @OptionGroup var pool: PoolOptions
        @OptionGroup var output: OutputOptions

        struct Row: Encodable {
            var runId, application, servedBy, sha256, entry: String
            var sizeBytes: Int
            var createdUnixMs: Int64
            var pinned, resident, disputed: Bool
        }
        private struct Listing: Encodable { var results: [Row] }

        func run() async throws {
            let resources = try pool.openExisting().resources().sorted { ($1.createdAt, $0.runID) < ($0.createdAt, $1.runID) }
            if output.json {
                try Output.json(Listing(results: resources.map {
                    Row(
                        runId: $0.runID.rawValue, application: $0.application, servedBy: $0.servedBy, sha256: $0.digest.description,
                        entry: $0.provenance.entry, sizeBytes: $0.size, createdUnixMs: $0.createdAt.milliseconds, pinned: $0.pinned,
                        resident: $0.resident, disputed: $0.isDisputed)
                }))
                return
            }
            let rows = [["run id", "application", "served by", "size", "when", ""]] + resources.map {
                [
                    $0.runID.rawValue, $0.application, $0.servedBy, TextLayout.bytes($0.size),
                    TextLayout.date(unixSeconds: Double($0.createdAt.milliseconds) / 1_000),
                    ($0.isDisputed ? "disputed " : "") + ($0.pinned ? "pinned " : "") + ($0.resident ? "" : "evicted"),
                ]
            }
            Output.table(rows, left: [0, 1, 2, 4, 5])
        }
    }

    struct Get: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "get", abstract: "Print one result, or write it to a file.")
        @Argument(help: ArgumentHelp("As mast pool ls shows it.", valueName: "run-id"))
        var runID: String
        @Option(help: ArgumentHelp("Where it goes, instead of standard output.", valueName: "file"))
        var out: String?
        @OptionGroup var pool: PoolOptions

        func run() async throws {
            let (pool, id) = (try pool.openExisting(), RunID(rawValue: runID))
            guard let resource = try pool.resource(for: id) else { throw PoolCommand.unknown(runID) }
            guard let bytes = try pool.contents(of: id) else {
                throw Failure(.noInput, "the bytes of \(runID) are not here any more: the quota took them, or they were damaged; run \(resource.application) again with --run-id \(runID) and the same input")
            }
            if resource.isDisputed { Output.note("\(runID) is disputed: another node signed something else; see mast pool show \(runID)") }
            if resource.receipt == nil { Output.note("\(runID) has no receipt: nobody has signed these bytes; run it again with --run-id \(runID) to have them checked") }
            if let out { try InputFile.write(bytes, to: out) } else { Output.bytes(bytes) }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "rm", abstract: "Forget results.")
        @Argument(help: ArgumentHelp("As mast pool ls shows them.", valueName: "run-id"))
        var runIDs: [String]
        @Flag(help: "Also those that a program is using.")
        var force = false
        @OptionGroup var pool: PoolOptions
        @OptionGroup var output: OutputOptions

        private struct Report: Encodable { var removed: [String] }

        func run() async throws {
            let (pool, now) = (try pool.openExisting(), SystemClock().wallTime())
            for id in runIDs {
                guard try pool.remove(RunID(rawValue: id), force: force, at: now) else { throw PoolCommand.unknown(id) }
            }
            if output.json { try Output.json(Report(removed: runIDs)) }
        }
    }

    struct Pin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "pin", abstract: "Keep a result whatever the quota says; --off to stop doing so.")
        @Argument(help: ArgumentHelp("As mast pool ls shows it.", valueName: "run-id"))
        var runID: String
        @Flag(help: "Let the quota have it again.")
        var off = false
        @OptionGroup var pool: PoolOptions

        func run() async throws {
            guard try pool.openExisting().setPinned(!off, RunID(rawValue: runID)) else { throw PoolCommand.unknown(runID) }
        }
    }

    struct SetQuota: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "quota", abstract: "Set how many bytes are kept; the least recently used results go first.")
        @Argument(help: ArgumentHelp("Such as 500MB or 2GiB.", valueName: "size"))
        var size: ByteCount
        @OptionGroup var pool: PoolOptions

        func run() async throws { try pool.open().setQuota(bytes: size.bytes, at: SystemClock().wallTime()) }
    }

    struct Statistics: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "stat", abstract: "Show what the pool holds and what happened to it.")
        @OptionGroup var pool: PoolOptions
        @OptionGroup var output: OutputOptions

        private struct Report: Encodable {
            var results, residentResults, pinnedResults, sizeBytes, quotaBytes: Int
            var committed, duplicates, divergent, restored, evicted, lost, hits: Int
        }

        func run() async throws {
            let counts = try pool.openExisting().statistics()
            if output.json {
                try Output.json(
                    Report(
                        results: counts.entries, residentResults: counts.resident, pinnedResults: counts.pinned, sizeBytes: counts.bytes,
                        quotaBytes: counts.quotaBytes, committed: counts.committed, duplicates: counts.duplicateSame,
                        divergent: counts.divergent, restored: counts.restored, evicted: counts.evicted, lost: counts.lost, hits: counts.hits))
                return
            }
            Output.line("results     \(counts.entries), \(counts.resident) with their bytes, \(counts.pinned) pinned")
            Output.line("size        \(TextLayout.bytes(counts.bytes)) of \(TextLayout.bytes(counts.quotaBytes))")
            Output.line("committed   \(counts.committed); came again: \(counts.duplicateSame) the same, \(counts.divergent) with other bytes")
            Output.line("read again  \(counts.hits); evicted \(counts.evicted), computed again \(counts.restored), lost \(counts.lost)")
        }
    }

    static func unknown(_ id: String) -> Failure { Failure(.noInput, "the pool has no result \(id); see mast pool ls") }
}
