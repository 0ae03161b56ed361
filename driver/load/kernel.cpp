// Queries in order of arrival through one station of several servers, each possibly pipelined:
// the same additions and comparisons as queue.py, so that both give the same bits.

#include <cstdint>
#include <queue>
#include <utility>
#include <vector>

extern "C" void serve(int64_t queries, const double *arrival, const double *service,
                      const double *interval, int64_t servers, int64_t in_flight, double *finish) {
    using Free = std::pair<double, int64_t>;  // time, server
    std::priority_queue<Free, std::vector<Free>, std::greater<Free>> free;
    for (int64_t s = 0; s < servers; s++) free.push({0.0, s});
    // Results of each server's last in_flight queries, oldest at its place.
    std::vector<double> ends(servers * in_flight, 0.0);
    std::vector<int64_t> place(servers, 0);
    std::vector<double> last(servers, 0.0);
    for (int64_t i = 0; i < queries; i++) {
        auto [at, s] = free.top();
        free.pop();
        double start = arrival[i] > at ? arrival[i] : at;
        double end = start + service[i];
        if (end < last[s]) end = last[s];
        last[s] = end;
        finish[i] = end;
        ends[s * in_flight + place[s]] = end;
        place[s] = place[s] + 1 == in_flight ? 0 : place[s] + 1;
        double next = start + interval[i];
        double oldest = ends[s * in_flight + place[s]];
        free.push({next > oldest ? next : oldest, s});
    }
}
