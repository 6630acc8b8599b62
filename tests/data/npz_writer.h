// Builds .npz archives for tests: one array type, stored or deflated.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gtrain::data {

template <class T>
std::string little(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <class T>
std::string npy(const std::string& descr, const std::string& shape, const std::vector<T>& values,
                bool fortran = false, int version = 1) {
  std::string header = "{'descr': '" + descr +
                       "', 'fortran_order': " + (fortran ? "True" : "False") +
                       ", 'shape': " + shape + ", }";
  const std::size_t prefix = version == 1 ? 10 : 12;
  header.resize(128 - prefix - 1, ' ');
  header += '\n';
  const auto length = static_cast<std::uint32_t>(header.size());
  std::string out = "\x93NUMPY" + std::string{static_cast<char>(version), '\0'};
  out += version == 1 ? little(static_cast<std::uint16_t>(length)) : little(length);
  out += header;
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return out;
}

inline std::string raw_deflate(const std::string& text) {
  z_stream s{};
  deflateInit2(&s, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&s, text.size()), '\0');
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = static_cast<uInt>(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = static_cast<uInt>(out.size());
  deflate(&s, Z_FINISH);
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}

inline std::string zip(const std::vector<std::pair<std::string, std::string>>& members,
                       bool deflated) {
  std::string out;
  std::string directory;
  for (const auto& [name, content] : members) {
    const std::string packed = deflated ? raw_deflate(content) : content;
    const auto crc = static_cast<std::uint32_t>(crc32(
        0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
    const std::string fields = little<std::uint16_t>(20) + little<std::uint16_t>(0) +
                               little<std::uint16_t>(deflated ? 8 : 0) + little<std::uint32_t>(0) +
                               little(crc) + little(static_cast<std::uint32_t>(packed.size())) +
                               little(static_cast<std::uint32_t>(content.size())) +
                               little(static_cast<std::uint16_t>(name.size())) +
                               little<std::uint16_t>(0);
    const auto offset = static_cast<std::uint32_t>(out.size());
    out += "PK\x03\x04" + fields + name + packed;
    directory += "PK\x01\x02" + little<std::uint16_t>(20) + fields + little<std::uint16_t>(0) +
                 little<std::uint16_t>(0) + little<std::uint16_t>(0) + little<std::uint32_t>(0) +
                 little(offset) + name;
  }
  const auto begin = static_cast<std::uint32_t>(out.size());
  const auto count = static_cast<std::uint16_t>(members.size());
  return out + directory + "PK\x05\x06" + little<std::uint32_t>(0) + little(count) + little(count) +
         little(static_cast<std::uint32_t>(directory.size())) + little(begin) +
         little<std::uint16_t>(0);
}

}  // namespace gtrain::data
