import MastTimebase

// The objects inside a profile's JSON.

struct SeriesForm: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable { case steps, period }
    var series: RateSeries

    init(series: RateSeries) { self.series = series }

    init(from decoder: any Decoder) throws {
        let object = try decoder.container(allowing: CodingKeys.self)
        let steps = try object.decode([String].self, forKey: .steps).map { text -> RateSeries.Step in
            let parts = text.split(separator: "=")
            let step = parts.count == 2
                ? Interval(text: parts[0]).flatMap { at in Rate(text: parts[1]).map { RateSeries.Step(at: at, rate: $0) } } : nil
            return try object.parsed(step, text, .steps, "a step such as 1.5s=2mbit")
        }
        let period = try object.interval(.period)
        series = try object.parsed(
            RateSeries(steps: steps, period: period), "this", .steps, "a series: times from 0 on, increasing, below the period")
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(series.steps.map { "\($0.at.text)=\($0.rate.text)" }, forKey: .steps)
        try object.encodeIfPresent(series.period?.text, forKey: .period)
    }
}

struct DelaysForm: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable { case step, ms, file }
    var series: DelaySeries

    init(series: DelaySeries) { self.series = series }

    init(from decoder: any Decoder) throws {
        let object = try decoder.container(allowing: CodingKeys.self)
        let step = try object.interval(.step) ?? .milliseconds(10)
        if let name = try object.decodeIfPresent(String.self, forKey: .file) {
            guard let load = decoder.userInfo[LinkProfile.fileLoader] as? LinkProfile.FileLoader else {
                throw DecodingError.dataCorruptedError(
                    forKey: .file, in: object, debugDescription: "the delays are in a file (\(name)), and files are not read here")
            }
            do { series = try DelaySeries(milliseconds: try load(name), step: step) } catch let error as RateSeriesError {
                throw DecodingError.dataCorruptedError(forKey: .file, in: object, debugDescription: "\(name): \(error)")
            }
            return
        }
        let values = try object.decode([Double].self, forKey: .ms).map { $0 >= 0 && $0 <= 3_600_000 ? Interval(nanoseconds: Int64(($0 * 1e6).rounded())) : nil }
        let whole = values.contains(nil) ? nil : DelaySeries(step: step, values: values.compactMap { $0 })
        series = try object.parsed(whole, "this", .ms, "a list of delays in milliseconds, each of 0 to an hour")
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(series.step.text, forKey: .step)
        try object.encode(series.values.map { Double($0.nanoseconds) / 1e6 }, forKey: .ms)
    }
}

struct TrainsForm: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable { case lines, file, offsets, opportunityBytes, rest }
    var trains: PacketTrains

    init(trains: PacketTrains) { self.trains = trains }

    init(from decoder: any Decoder) throws {
        let object = try decoder.container(allowing: CodingKeys.self)
        func refuse(_ key: CodingKeys, _ text: String) -> DecodingError { .dataCorruptedError(forKey: key, in: object, debugDescription: text) }
        func read(_ name: String, _ key: CodingKeys) throws -> [UInt8] {
            guard let load = decoder.userInfo[LinkProfile.fileLoader] as? LinkProfile.FileLoader else {
                throw refuse(key, "\(name) is a file, and files are not read here")
            }
            return try load(name)
        }
        let name = try object.decodeIfPresent(String.self, forKey: .file)
        let text = try name.map { try read($0, .file) } ?? Array(object.decode([String].self, forKey: .lines).joined(separator: "\n").utf8)
        do { trains = try PacketTrains(cellReplay: text) } catch { throw refuse(name == nil ? .lines : .file, "\(name.map { $0 + ": " } ?? "")\(error)") }
        if let name = try? object.decode(String.self, forKey: .offsets) {
            let text = try read(name, .offsets)
            do { try trains.readSizeOffsets(text) } catch { throw refuse(.offsets, "\(name): \(error)") }
        } else if let values = try object.decodeIfPresent([Double].self, forKey: .offsets) {
            guard values.allSatisfy({ abs($0) <= 3_600_000 }), trains.setSizeOffsets(values.map { Interval(nanoseconds: Int64(($0 * 1e6).rounded())) }) else {
                throw refuse(.offsets, "expected milliseconds for each 100 bytes")
            }
        }
        if let bytes = try object.decodeIfPresent(Int.self, forKey: .opportunityBytes) {
            trains.opportunityBytes = try object.parsed(DeliveryTrace.opportunitySizes.contains(bytes) ? bytes : nil, "\(bytes)", .opportunityBytes, "a size in bytes")
        }
        let rest = try object.interval(.rest) ?? .zero
        trains.rest = try object.parsed((.zero...DelaySeries.longest).contains(rest) ? rest : nil, rest.text, .rest, "a time of at most an hour")
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(trains.lines, forKey: .lines)
        if !trains.sizeOffsets.isEmpty { try object.encode(trains.sizeOffsets.map { Double($0.nanoseconds) / 1e6 }, forKey: .offsets) }
        if trains.opportunityBytes != 1_400 { try object.encode(trains.opportunityBytes, forKey: .opportunityBytes) }
        if trains.rest != .zero { try object.encode(trains.rest.text, forKey: .rest) }
    }
}

struct BucketForm: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable { case rate, burstBytes }
    var rate: Rate
    var burstBytes: Int

    init(rate: Rate, burstBytes: Int) { (self.rate, self.burstBytes) = (rate, burstBytes) }

    init(from decoder: any Decoder) throws {
        let object = try decoder.container(allowing: CodingKeys.self)
        let text = try object.decode(String.self, forKey: .rate)
        rate = try object.parsed(Rate(text: text), text, .rate, "a rate such as 12mbit")
        let bytes = try object.decode(Int.self, forKey: .burstBytes)
        burstBytes = try object.parsed((1...1_000_000_000).contains(bytes) ? bytes : nil, "\(bytes)", .burstBytes, "1 byte to 1 GB")
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(rate.text, forKey: .rate)
        try object.encode(burstBytes, forKey: .burstBytes)
    }
}

/// A trace inside a scenario.
struct InlineTrace: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable { case stamps, tick, period }
    var stamps: [UInt32]
    var tick: Interval
    var period: UInt32?

    init(_ trace: DeliveryTrace) {
        stamps = trace.stamps
        tick = trace.tick
        period = trace.periodTicks == trace.stamps.last ? nil : trace.periodTicks
    }

    init(from decoder: any Decoder) throws {
        let object = try decoder.container(allowing: CodingKeys.self)
        stamps = try object.decode([UInt32].self, forKey: .stamps)
        tick = try object.interval(.tick) ?? .milliseconds(1)
        period = try object.decodeIfPresent(UInt32.self, forKey: .period)
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(stamps, forKey: .stamps)
        if tick != .milliseconds(1) { try object.encode(tick.text, forKey: .tick) }
        try object.encodeIfPresent(period, forKey: .period)
    }
}
