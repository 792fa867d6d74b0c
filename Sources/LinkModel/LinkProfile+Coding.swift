import MastTimebase

// The JSON form that `LinkProfile` and `LinkScenario` document. Values are written as text with their
// units, so that a scenario reads like the command line.

extension LinkProfile {
    /// Opens a trace that a scenario names; throws what the reader of the scenario shall see.
    package typealias TraceLoader = @Sendable (_ name: String, _ opportunityBytes: Int) throws -> DeliveryTrace

    /// Put a `TraceLoader` under this key into the decoder's `userInfo`; without one, a scenario that names a
    /// trace file is refused.
    package static let traceLoader: CodingUserInfoKey = {
        // cannot fail: a constant key
        guard let key = CodingUserInfoKey(rawValue: "mast.link.traceLoader") else { preconditionFailure("a constant key") }
        return key
    }()

    /// Reads another file that a scenario names, such as a delay series.
    package typealias FileLoader = @Sendable (_ name: String) throws -> [UInt8]

    /// Put a `FileLoader` under this key likewise.
    package static let fileLoader: CodingUserInfoKey = {
        // cannot fail: a constant key
        guard let key = CodingUserInfoKey(rawValue: "mast.link.fileLoader") else { preconditionFailure("a constant key") }
        return key
    }()

    /// More outages than this in one direction are refused.
    package static let maximumOutages = 100_000
}

extension LinkScenario: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable { case name, seed, up, down }

    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(allowing: CodingKeys.self)
        self.init(
            name: try object.decodeIfPresent(String.self, forKey: .name) ?? "link",
            up: try object.decodeIfPresent(LinkProfile.self, forKey: .up) ?? .ideal,
            down: try object.decodeIfPresent(LinkProfile.self, forKey: .down) ?? .ideal,
            seed: try object.decodeIfPresent(UInt64.self, forKey: .seed) ?? 1)
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(name, forKey: .name)
        try object.encode(seed, forKey: .seed)
        try object.encode(up, forKey: .up)
        try object.encode(down, forKey: .down)
    }
}

extension LinkProfile: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable {
        case preQueueLoss, queue, rate, trace, opportunityBytes, outages, radioLoss, delay, jitter
        case series, tokenBucket, mtu, ecn, corrupt, duplicate, reorder, idleAfter, promotion, changes, handovers
        case delays, delaySpread, randomOutages, trains
    }

    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(allowing: CodingKeys.self)
        self.init()
        preQueueLoss = try object.decodeIfPresent(LossModel.self, forKey: .preQueueLoss) ?? .none
        radioLoss = try object.decodeIfPresent(LossModel.self, forKey: .radioLoss) ?? .none
        if let text = try object.decodeIfPresent(String.self, forKey: .queue) {
            queue = try object.parsed(QueueDiscipline(text: text), text, .queue, "a queue such as droptail:100p")
        }
        delay = try object.interval(.delay) ?? .zero
        jitter = try object.interval(.jitter) ?? .zero
        let texts = try object.decodeIfPresent([String].self, forKey: .outages) ?? []
        guard texts.count <= Self.maximumOutages else {
            throw DecodingError.dataCorruptedError(
                forKey: .outages, in: object, debugDescription: "more than \(Self.maximumOutages) outages")
        }
        outages = try texts.map { try object.parsed(Outage(text: $0), $0, .outages, "an outage such as hold:12s+300ms") }

        try decodeStages(object)
        let servers = [CodingKeys.rate, .trace, .series, .tokenBucket].filter(object.contains)
        guard servers.count <= 1 else {
            throw DecodingError.dataCorruptedError(
                forKey: servers[1], in: object, debugDescription: "both \(servers[0].stringValue) and \(servers[1].stringValue)")
        }
        let rate = try object.decodeIfPresent(String.self, forKey: .rate)
        if let series = try object.decodeIfPresent(SeriesForm.self, forKey: .series) {
            service = .series(series.series)
        } else if let bucket = try object.decodeIfPresent(BucketForm.self, forKey: .tokenBucket) {
            service = .tokenBucket(bucket.rate, burstBytes: bucket.burstBytes)
        } else if let rate {
            guard !object.contains(.trace) else {
                throw DecodingError.dataCorruptedError(forKey: .trace, in: object, debugDescription: "both a rate and a trace")
            }
            service = .constant(try object.parsed(Rate(text: rate), rate, .rate, "a rate such as 12mbit"))
        } else if object.contains(.trace) {
            let bytes = try object.decodeIfPresent(Int.self, forKey: .opportunityBytes) ?? 1500
            service = .trace(try Self.trace(object, bytes, decoder.userInfo[Self.traceLoader] as? TraceLoader))
        }
    }

    private mutating func decodeStages(_ object: KeyedDecodingContainer<CodingKeys>) throws {
        if let bytes = try object.decodeIfPresent(Int.self, forKey: .mtu) {
            mtu = try object.parsed(LinkPacket.sizes.contains(bytes) ? bytes : nil, "\(bytes)", .mtu, "a packet size in bytes")
        }
        ecn = try object.decodeIfPresent(Bool.self, forKey: .ecn) ?? false
        corruption = try object.probability(.corrupt) ?? .never
        duplication = try object.probability(.duplicate) ?? .never
        reordering = try object.probability(.reorder) ?? .never
        idleAfter = try object.interval(.idleAfter)
        promotion = try object.interval(.promotion) ?? .zero
        if let form = try object.decodeIfPresent(DelaysForm.self, forKey: .delays) { delaySeries = form.series }
        trains = try object.decodeIfPresent(TrainsForm.self, forKey: .trains)?.trains
        if let text = try object.decodeIfPresent(String.self, forKey: .delaySpread) {
            delaySpread = try object.parsed(IntervalDistribution(text: text), text, .delaySpread, "quantiles such as 0ms/2ms/30ms")
        }
        randomOutages = try (object.decodeIfPresent([String].self, forKey: .randomOutages) ?? []).prefix(17).map {
            try object.parsed(RandomOutages(text: $0), $0, .randomOutages, "a random outage such as hold:30s~62ms")
        }
        guard randomOutages.count <= 16 else {
            throw DecodingError.dataCorruptedError(forKey: .randomOutages, in: object, debugDescription: "more than 16 kinds")
        }
        let texts = try object.decodeIfPresent([String].self, forKey: .changes) ?? []
        changes = try texts.map { try object.parsed(LinkChange(text: $0), $0, .changes, "a change such as 12s:rate=5mbit") }
        for text in try object.decodeIfPresent([String].self, forKey: .handovers) ?? [] {
            let handover = try object.parsed(LinkChange.handover(text: text), text, .handovers, "a handover such as 30s+80ms,flush")
            outages.append(handover.hold)
            changes += handover.changes
        }
        guard changes.count <= Self.maximumOutages, outages.count <= Self.maximumOutages else {
            throw DecodingError.dataCorruptedError(
                forKey: .changes, in: object, debugDescription: "more than \(Self.maximumOutages) changes")
        }
    }

    private static func trace(
        _ object: KeyedDecodingContainer<CodingKeys>, _ opportunityBytes: Int, _ load: TraceLoader?
    ) throws -> DeliveryTrace {
        if let name = try? object.decode(String.self, forKey: .trace) {
            guard let load else {
                throw DecodingError.dataCorruptedError(
                    forKey: .trace, in: object, debugDescription: "the trace is in a file (\(name)), and files are not read here")
            }
            return try load(name, opportunityBytes)
        }
        let inline = try object.decode(InlineTrace.self, forKey: .trace)
        do {
            return try DeliveryTrace(
                stamps: inline.stamps, tick: inline.tick, periodTicks: inline.period, opportunityBytes: opportunityBytes)
        } catch {
            throw DecodingError.dataCorruptedError(forKey: .trace, in: object, debugDescription: "\(error)")
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        if preQueueLoss != .none { try object.encode(preQueueLoss, forKey: .preQueueLoss) }
        if queue != .infinite { try object.encode(queue.description, forKey: .queue) }
        switch service {
        case .unlimited: break
        case .constant(let rate): try object.encode(rate.text, forKey: .rate)
        case .series(let series): try object.encode(SeriesForm(series: series), forKey: .series)
        case .tokenBucket(let rate, let burst):
            try object.encode(BucketForm(rate: rate, burstBytes: burst), forKey: .tokenBucket)
        case .trace(let trace):
            try object.encode(InlineTrace(trace), forKey: .trace)
            if trace.opportunityBytes != 1500 { try object.encode(trace.opportunityBytes, forKey: .opportunityBytes) }
        }
        if !outages.isEmpty { try object.encode(outages.map(\.description), forKey: .outages) }
        if radioLoss != .none { try object.encode(radioLoss, forKey: .radioLoss) }
        if delay != .zero { try object.encode(delay.text, forKey: .delay) }
        if jitter != .zero { try object.encode(jitter.text, forKey: .jitter) }
        try object.encodeIfPresent(delaySeries.map { DelaysForm(series: $0) }, forKey: .delays)
        try object.encodeIfPresent(delaySpread?.text, forKey: .delaySpread)
        try object.encodeIfPresent(trains.map { TrainsForm(trains: $0) }, forKey: .trains)
        if !randomOutages.isEmpty { try object.encode(randomOutages.map(\.text), forKey: .randomOutages) }
        try object.encodeIfPresent(mtu, forKey: .mtu)
        if ecn { try object.encode(true, forKey: .ecn) }
        if corruption > .never { try object.encode(corruption.asDouble, forKey: .corrupt) }
        if duplication > .never { try object.encode(duplication.asDouble, forKey: .duplicate) }
        if reordering > .never { try object.encode(reordering.asDouble, forKey: .reorder) }
        try object.encodeIfPresent(idleAfter?.text, forKey: .idleAfter)
        if promotion != .zero { try object.encode(promotion.text, forKey: .promotion) }
        if !changes.isEmpty { try object.encode(changes.map(\.description), forKey: .changes) }
    }
}

extension LossModel: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable {
        case share, meanBurst, enterBad, leaveBad, lossInGood, lossInBad, step
    }

    package init(from decoder: any Decoder) throws {
        if let text = try? decoder.singleValueContainer().decode(String.self) {
            guard let share = Probability(text: text) else { throw Self.refuse(decoder, "\(text) is not a share such as 2%") }
            self = share == .never ? .none : .independent(share)
            return
        }
        if let number = try? decoder.singleValueContainer().decode(Double.self) {
            guard (0...1).contains(number) else { throw Self.refuse(decoder, "\(number) is not between 0 and 1") }
            self = number == 0 ? .none : .independent(Probability(number))
            return
        }
        let object = try decoder.container(allowing: CodingKeys.self)
        let step = try object.interval(.step)
        if let step, step <= .zero { throw Self.refuse(decoder, "a step must be above 0") }
        if let share = try object.probability(.share) {
            let text = try object.decode(String.self, forKey: .meanBurst)
            let chain: GilbertElliott?
            if let burst = Interval(text: text) {
                chain = GilbertElliott(share: share, meanBurst: burst, step: step ?? .milliseconds(1))
            } else if text.hasSuffix("p"), let packets = Double(text.dropLast()) {
                chain = GilbertElliott(share: share, meanBurstPackets: packets)
            } else {
                throw Self.refuse(decoder, "\(text) is not a burst such as 5p or 30ms")
            }
            guard let chain else { throw Self.refuse(decoder, "no loss process has this share and mean burst") }
            self = .gilbertElliott(chain)
            return
        }
        guard let enter = try object.probability(.enterBad), let leave = try object.probability(.leaveBad) else {
            throw Self.refuse(decoder, "a loss needs share and meanBurst, or enterBad and leaveBad")
        }
        self = .gilbertElliott(
            GilbertElliott(
                enterBad: enter, leaveBad: leave, lossInGood: try object.probability(.lossInGood) ?? .never,
                lossInBad: try object.probability(.lossInBad) ?? .always, step: step))
    }

    package func encode(to encoder: any Encoder) throws {
        // Numbers, not percent text: a fraction of 2^32 is exact as a Double, and comes back the same.
        switch self {
        case .none:
            var value = encoder.singleValueContainer()
            try value.encode(0.0)
        case .independent(let share):
            var value = encoder.singleValueContainer()
            try value.encode(share.asDouble)
        case .gilbertElliott(let chain):
            var object = encoder.container(keyedBy: CodingKeys.self)
            try object.encode(chain.enterBad.asDouble, forKey: .enterBad)
            try object.encode(chain.leaveBad.asDouble, forKey: .leaveBad)
            if chain.lossInGood != .never { try object.encode(chain.lossInGood.asDouble, forKey: .lossInGood) }
            if chain.lossInBad != .always { try object.encode(chain.lossInBad.asDouble, forKey: .lossInBad) }
            if let step = chain.step { try object.encode(step.text, forKey: .step) }
        }
    }

    private static func refuse(_ decoder: any Decoder, _ text: String) -> DecodingError {
        .dataCorrupted(DecodingError.Context(codingPath: decoder.codingPath, debugDescription: text))
    }
}

extension KeyedDecodingContainer {
    func parsed<T>(_ value: T?, _ text: String, _ key: Key, _ expected: String) throws -> T {
        guard let value else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "\(text) is not \(expected)")
        }
        return value
    }

    func interval(_ key: Key) throws -> Interval? {
        guard let text = try decodeIfPresent(String.self, forKey: key) else { return nil }
        return try parsed(Interval(text: text), text, key, "a time such as 40ms")
    }

    func probability(_ key: Key) throws -> Probability? {
        guard contains(key) else { return nil }
        if let text = try? decode(String.self, forKey: key) {
            return try parsed(Probability(text: text), text, key, "a share such as 2%")
        }
        let number = try decode(Double.self, forKey: key)
        return try parsed((0...1).contains(number) ? Probability(number) : nil, "\(number)", key, "between 0 and 1")
    }
}

extension Decoder {
    /// A container that refuses keys it does not know: in a file written by hand they are misspelt ones.
    func container<Key: CodingKey & CaseIterable>(allowing keys: Key.Type) throws -> KeyedDecodingContainer<Key> {
        let all = try container(keyedBy: AnyKey.self)
        for key in all.allKeys.sorted(by: { $0.stringValue < $1.stringValue }) where Key(stringValue: key.stringValue) == nil {
            let known = Key.allCases.map(\.stringValue).joined(separator: ", ")
            throw DecodingError.dataCorruptedError(
                forKey: key, in: all, debugDescription: "unknown key \(key.stringValue); known are \(known)")
        }
        return try container(keyedBy: keys)
    }
}

private struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
