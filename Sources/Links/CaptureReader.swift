import MastCapture
import MastLinkInference
// Times, rates and addresses are its values.
@_exported import MastTimebase

/// A packet capture (pcap or pcapng, gzipped or not), read from a file or from memory, packet by packet or as a whole.
///
/// ```swift
/// let survey = try CaptureReader(path: "road.pcap").survey()
/// for outage in survey.link?.outages ?? [] { print(outage.start, outage.length, outage.kind) }
/// ```
///
/// Memory is bounded whatever the capture's length. A file that breaks off gives all before the break; `truncation` says why.
/// An instance is used from one task.
public final class CaptureReader {
    private let file: CaptureFile
    private var table = FlowTable()

    /// Opens a file.
    /// - Parameters:
    ///   - path: `-` is standard input.
    ///   - filter: packets to take, in libpcap's language (`pcap-filter(7)`); nil takes all.
    /// - Throws: `CaptureReader.Failure`.
    public init(path: String, filter: String? = nil) throws(Failure) {
        do { file = try CaptureFile(path: path, filter: filter) } catch { throw Failure(error) }
    }

    /// Opens a capture in memory.
    /// - Parameters:
    ///   - bytes: of the whole file.
    ///   - name: what failures call it.
    ///   - filter: as above.
    /// - Throws: `CaptureReader.Failure`.
    public init(bytes: [UInt8], name: String = "the capture", filter: String? = nil) throws(Failure) {
        do { file = try CaptureFile(bytes: bytes, name: name, filter: filter) } catch { throw Failure(error) }
    }

    /// When the times of packets begin, in nanoseconds since 1970: at the file's first packet. nil: no packet has a time.
    public var startEpochNanoseconds: Int64? { file.startEpochNanoseconds }

    /// Why reading stopped before the file's end; nil after a clean end, and before the end.
    public var truncation: String? { file.truncation }

    /// The next packet; nil at the end.
    public func next() -> Packet? {
        file.next().map { Packet($0, table.observe($0), table) }
    }

    /// Reads what is left, and says what it shows: flows, and the link behind them. Once; packets that `next` gave are not in it.
    /// - Parameter mostFlows: how many flows are told, those with most bytes first; `flowCount` counts all.
    public func survey(mostFlows: Int = 10_000) -> CaptureSurvey {
        var pipeline = CapturePipeline()
        pipeline.read(file)
        let summary = pipeline.summary(of: file, mostFlows: max(0, mostFlows))
        do throws(FitFailure) {
            return CaptureSurvey(summary, .success(try pipeline.finish()), start: file.startEpochNanoseconds)
        } catch {
            return CaptureSurvey(summary, .failure(error), start: file.startEpochNanoseconds)
        }
    }

    /// Why a capture could not be opened.
    public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
        public enum Kind: Sendable, Hashable {
            /// No such file, or it may not be read.
            case cannotOpen
            /// It holds no capture.
            case notACapture
            /// The filter does not compile.
            case badFilter
        }
        public let kind: Kind
        /// One sentence for a person.
        public let description: String

        init(_ error: CaptureError) {
            description = error.description
            kind = switch error {
            case .notACapture: .notACapture
            case .badFilter: .badFilter
            default: .cannotOpen
            }
        }
    }
}

/// From the client of a flow to its server, or back.
public enum CaptureDirection: String, Sendable, Hashable, Codable, CaseIterable {
    case up, down

    init(_ direction: FlowDirection) { self = direction == .up ? .up : .down }
}

extension CaptureReader {
    /// One packet of a capture.
    public struct Packet: Sendable, Hashable {
        /// 1-based position in the file, the frame number of other tools.
        public var number: Int
        /// Since the file's first packet; negative where the clock stepped back behind it.
        public var time: Interval
        /// False where the record has no time: `time` is then the previous packet's.
        public var hasTimestamp: Bool
        /// Length of the frame on the wire.
        public var wireBytes: Int
        /// By the IP header, whatever the capture cut; 0 where it is no IP.
        public var ipBytes: Int
        /// Of TCP or UDP payload.
        public var payloadBytes: Int
        /// IP's protocol number (6 is TCP, 17 UDP); nil where it is no IP.
        public var protocolNumber: UInt8?
        /// Ports are 0 where the protocol has none; nil where it is no IP.
        public var source: NetworkAddress?
        public var destination: NetworkAddress?
        /// Among the capture's flows, in the order in which they began; nil: no IP, or beyond 65,536 flows.
        public var flow: Int?
        /// nil where `flow` is.
        public var direction: CaptureDirection?
        /// TCP's, of the first byte as sent; nil: no TCP.
        public var tcpSequence: UInt32?
        /// TCP data that passed before; the original was lost beyond the capture point, or its acknowledgement was.
        public var isRetransmission: Bool

        init(_ packet: CapturedPacket, _ seen: FlowObservation?, _ table: FlowTable) {
            (number, time, hasTimestamp) = (packet.number, packet.time.sinceStart, packet.hasTimestamp)
            (wireBytes, ipBytes, payloadBytes) = (packet.wireBytes, packet.ipBytes, seen?.payloadBytes ?? 0)
            protocolNumber = packet.headers.ip?.protocolNumber
            (source, destination) = (packet.headers.ip?.source, packet.headers.ip?.destination)
            (flow, direction) = (seen?.flow, seen.map { CaptureDirection($0.direction) })
            if case .tcp(let tcp) = packet.headers.transport { tcpSequence = tcp.sequence }
            isRetransmission = seen?.tcp?.isRetransmission ?? false
        }
    }
}
