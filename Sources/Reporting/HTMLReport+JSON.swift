import MastLinkInference

extension HTMLReport {
    /// What the page's script reads. Lists of times and bytes hold differences, in microseconds and bytes.
    static func json(_ data: ReportData) -> ReportJSON {
        var json = ReportJSON()
        json.object { json in
            json.member("subject", data.subject.rawValue)
            json.member("startS", data.startS, decimals: 6)
            json.member("lengthS", data.lengthS, decimals: 6)
            list("figures", data.figures, &json) { figure, json in
                json.member("name", figure.name)
                list("parts", figure.parts, &json) { part, json in
                    json.member("label", part.label)
                    json.member("source", part.source)
                    json.member("value", part.value, decimals: 9)
                    json.member("shown", part.shown)
                    json.member("state", part.state.rawValue)
                    json.member("basis", part.basis)
                }
            }
            list("lanes", data.lanes, &json) { lane, json in
                json.member("dir", lane.direction)
                json.member("startS", lane.startS, decimals: 6)
                json.member("binS", lane.binS, decimals: 6)
                integers("used", lane.usedKbps, &json)
                json.member("capStartS", lane.capacityStartS, decimals: 6)
                json.member("capBinS", lane.capacityBinS, decimals: 6)
                integers("cap", lane.capacityKbps, &json)
                json.member("bound", lane.isLowerBound)
                json.member("assumed", lane.isCapacityAssumed)
                integers("offered", lane.offeredKbps, &json)
            }
            list("outages", data.outages, &json) { outage, json in
                json.member("from", outage.startS, decimals: 4)
                json.member("to", outage.endS, decimals: 4)
                json.member("dir", outage.direction)
                json.member("kind", outage.kind)
                json.member("confidence", outage.confidence, decimals: 2)
                json.member("fromOff", outage.startUncertaintyS, decimals: 4)
                json.member("toOff", outage.endUncertaintyS, decimals: 4)
                json.member("basis", outage.basis)
            }
            list("moments", data.moments, &json) { moment, json in
                json.member("at", moment.atS, decimals: 4)
                json.member("label", moment.label)
                json.member("detail", moment.detail)
            }
            list("flows", data.flows, &json, flow)
            list("rtts", data.rtts, &json) { series, json in
                json.member("name", series.name)
                samples("samples", series.samples, &json)
            }
            list("crossings", data.crossings, &json) { way, json in
                json.member("dir", way.direction)
                samples("delays", way.delays, &json)
                json.member("startS", way.startS, decimals: 6)
                json.member("binS", way.binS, decimals: 6)
                integers("sent", way.sent, &json)
                integers("lost", way.lost, &json)
            }
            calls(data.calls, &json)
            list("links", data.links, &json, link)
        }
        return json
    }

    private static func flow(_ flow: ReportData.Flow, _ json: inout ReportJSON) {
        json.member("name", flow.name)
        json.member("protocol", flow.protocolName)
        json.member("first", flow.firstS, decimals: 4)
        json.member("last", flow.lastS, decimals: 4)
        json.member("rtt", flow.minimumRTTMs)
        for (name, side) in [("up", flow.up), ("down", flow.down)] {
            json.key(name)
            json.array { json in
                for value in [side.packets, side.bytes] { json.integer(Int64(value)) }
                for value in [side.retransmissions, side.lost, side.outOfOrder] {
                    if let value { json.integer(Int64(value)) } else { json.null() }
                }
            }
        }
        json.key("t")
        json.integers(flow.points.timesUs, delta: true)
        json.key("y")
        json.integers(flow.points.bytes, delta: true)
        json.member("k", String(decoding: flow.points.kinds.map { UInt8(ascii: "0") + ($0 & 7) }, as: UTF8.self))
    }

    private static func link(_ link: LinkPlot, _ json: inout ReportJSON) {
        json.member("name", link.name)
        json.member("binS", link.binS, decimals: 6)
        json.member("lengthS", link.durationS, decimals: 6)
        for (name, values) in [
            ("cap", link.capacityMbps), ("arrived", link.arrivalMbps), ("left", link.departureMbps), ("delay", link.queueDelayMs), ("way", link.delayMs),
        ] {
            json.key(name)
            json.array { json in for value in values { json.number(value) } }
        }
        list("outages", link.outages, &json) { outage, json in
            json.member("from", outage.startS, decimals: 4)
            json.member("to", outage.endS, decimals: 4)
            json.member("dir", "unknown")
            json.member("kind", outage.kind)
        }
        integers("dropped", link.droppedPackets.map { Int64($0) }, &json)
        json.key("rows")
        json.array { json in for value in link.row { if let value { json.string(value) } else { json.null() } } }
    }

    /// By column: names repeat little and the page stays small.
    private static func calls(_ calls: [ReportData.Call], _ json: inout ReportJSON) {
        json.key("calls")
        json.object { json in
            json.key("name")
            json.array { json in for call in calls { json.string(call.name) } }
            json.key("t")
            json.array { json in for call in calls { json.number(call.startS, decimals: 4) } }
            json.key("ms")
            json.array { json in for call in calls { json.number(call.durationMs) } }
            json.key("by")
            json.array { json in for call in calls { if let by = call.servedBy { json.string(by) } else { json.null() } } }
            json.key("failure")
            json.array { json in for call in calls { if let failure = call.failure { json.string(failure) } else { json.null() } } }
            json.key("attempts")
            json.integers(calls.map { Int64($0.attempts) })
        }
    }

    private static func list<Element>(
        _ name: String, _ elements: [Element], _ json: inout ReportJSON, _ body: (Element, inout ReportJSON) -> Void
    ) {
        json.key(name)
        json.array { json in
            for element in elements { json.object { body(element, &$0) } }
        }
    }

    private static func integers(_ name: String, _ values: [Int64], _ json: inout ReportJSON) {
        json.key(name)
        json.integers(values)
    }

    /// `n` counts all, also those that no plot could tell apart.
    private static func samples(_ name: String, _ all: ReportData.Samples, _ json: inout ReportJSON) {
        let samples = all.thinned()
        json.key(name)
        json.object { json in
            json.member("n", all.values.count)
            json.key("t")
            json.integers(samples.timesUs, delta: true)
            json.key("v")
            json.array { json in for value in samples.values { json.number(value) } }
        }
    }
}
