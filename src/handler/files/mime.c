// SPDX-License-Identifier: Apache-2.0
#include "handler/files/mime.h"

#include "base/compiler.h"

struct mime_row {
	const char *extension, *type;
};

/* In the order of strcmp, for the binary search. */
static const struct mime_row mime_table[] = {
	{"7z", "application/x-7z-compressed"},
	{"aac", "audio/aac"},
	{"ai", "application/postscript"},
	{"apk", "application/vnd.android.package-archive"},
	{"apng", "image/apng"},
	{"asc", "text/plain"},
	{"atom", "application/atom+xml"},
	{"authors", "text/plain"},
	{"avif", "image/avif"},
	{"bash", "text/x-shellscript"},
	{"bin", "application/octet-stream"},
	{"bmp", "image/bmp"},
	{"br", "application/x-brotli"},
	{"bz2", "application/x-bzip2"},
	{"c", "text/x-c"},
	{"cc", "text/x-c++"},
	{"cer", "application/pkix-cert"},
	{"changelog", "text/plain"},
	{"cjs", "text/javascript"},
	{"conf", "text/plain"},
	{"copying", "text/plain"},
	{"cpp", "text/x-c++"},
	{"crl", "application/pkix-crl"},
	{"crt", "application/x-x509-ca-cert"},
	{"css", "text/css"},
	{"csv", "text/csv"},
	{"dart", "text/x-dart"},
	{"deb", "application/vnd.debian.binary-package"},
	{"der", "application/x-x509-ca-cert"},
	{"diff", "text/x-diff"},
	{"dmg", "application/x-apple-diskimage"},
	{"doc", "application/msword"},
	{"dockerfile", "text/plain"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"dtd", "application/xml-dtd"},
	{"ear", "application/java-archive"},
	{"eot", "application/vnd.ms-fontobject"},
	{"eps", "application/postscript"},
	{"epub", "application/epub+zip"},
	{"exe", "application/vnd.microsoft.portable-executable"},
	{"flac", "audio/flac"},
	{"flv", "video/x-flv"},
	{"geojson", "application/geo+json"},
	{"gif", "image/gif"},
	{"glb", "model/gltf-binary"},
	{"gltf", "model/gltf+json"},
	{"go", "text/x-go"},
	{"gpx", "application/gpx+xml"},
	{"gz", "application/gzip"},
	{"h", "text/x-c"},
	{"heic", "image/heic"},
	{"heif", "image/heif"},
	{"hpp", "text/x-c++"},
	{"htc", "text/x-component"},
	{"htm", "text/html"},
	{"html", "text/html"},
	{"ico", "image/vnd.microsoft.icon"},
	{"ics", "text/calendar"},
	{"img", "application/octet-stream"},
	{"ini", "text/plain"},
	{"iso", "application/x-iso9660-image"},
	{"jar", "application/java-archive"},
	{"java", "text/x-java"},
	{"jfif", "image/jpeg"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript"},
	{"json", "application/json"},
	{"json5", "application/json5"},
	{"jsonc", "application/json"},
	{"jsonl", "application/jsonl"},
	{"jsonld", "application/ld+json"},
	{"jsx", "text/javascript"},
	{"jxl", "image/jxl"},
	{"kml", "application/vnd.google-earth.kml+xml"},
	{"kmz", "application/vnd.google-earth.kmz"},
	{"less", "text/plain"},
	{"license", "text/plain"},
	{"log", "text/plain"},
	{"m2ts", "video/mp2t"},
	{"m3u", "audio/x-mpegurl"},
	{"m3u8", "application/vnd.apple.mpegurl"},
	{"m4a", "audio/mp4"},
	{"m4s", "video/iso.segment"},
	{"m4v", "video/x-m4v"},
	{"makefile", "text/plain"},
	{"map", "application/json"},
	{"markdown", "text/markdown"},
	{"md", "text/markdown"},
	{"mid", "audio/midi"},
	{"midi", "audio/midi"},
	{"mjs", "text/javascript"},
	{"mka", "audio/x-matroska"},
	{"mkv", "video/x-matroska"},
	{"mov", "video/quicktime"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"mpd", "application/dash+xml"},
	{"mpeg", "video/mpeg"},
	{"mpg", "video/mpeg"},
	{"msi", "application/x-msi"},
	{"ndjson", "application/x-ndjson"},
	{"notice", "text/plain"},
	{"odg", "application/vnd.oasis.opendocument.graphics"},
	{"odp", "application/vnd.oasis.opendocument.presentation"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"oga", "audio/ogg"},
	{"ogg", "audio/ogg"},
	{"ogv", "video/ogg"},
	{"opus", "audio/ogg"},
	{"otf", "font/otf"},
	{"p12", "application/x-pkcs12"},
	{"patch", "text/x-diff"},
	{"pbf", "application/x-protobuf"},
	{"pdf", "application/pdf"},
	{"pem", "application/x-pem-file"},
	{"php", "text/plain"},
	{"pl", "text/x-perl"},
	{"png", "image/png"},
	{"ppt", "application/vnd.ms-powerpoint"},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"proto", "text/plain"},
	{"ps", "application/postscript"},
	{"py", "text/x-python"},
	{"rar", "application/vnd.rar"},
	{"rb", "text/x-ruby"},
	{"rdf", "application/rdf+xml"},
	{"readme", "text/plain"},
	{"rpm", "application/x-rpm"},
	{"rs", "text/x-rust"},
	{"rss", "application/rss+xml"},
	{"rst", "text/x-rst"},
	{"rtf", "application/rtf"},
	{"scss", "text/plain"},
	{"sh", "text/x-shellscript"},
	{"sha256", "text/plain"},
	{"shtml", "text/html"},
	{"sig", "application/pgp-signature"},
	{"sql", "application/sql"},
	{"srt", "text/plain"},
	{"stl", "model/stl"},
	{"svg", "image/svg+xml"},
	{"swf", "application/vnd.adobe.flash.movie"},
	{"tar", "application/x-tar"},
	{"tbz2", "application/x-bzip2"},
	{"tex", "text/x-tex"},
	{"text", "text/plain"},
	{"tgz", "application/gzip"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"toml", "application/toml"},
	{"torrent", "application/x-bittorrent"},
	{"ts", "video/mp2t"},
	{"tsv", "text/tab-separated-values"},
	{"tsx", "text/plain"},
	{"ttc", "font/collection"},
	{"ttf", "font/ttf"},
	{"txt", "text/plain"},
	{"vcard", "text/vcard"},
	{"vcf", "text/vcard"},
	{"vsix", "application/vsix"},
	{"vtt", "text/vtt"},
	{"wasm", "application/wasm"},
	{"wav", "audio/wav"},
	{"weba", "audio/webm"},
	{"webm", "video/webm"},
	{"webmanifest", "application/manifest+json"},
	{"webp", "image/webp"},
	{"wma", "audio/x-ms-wma"},
	{"wmv", "video/x-ms-wmv"},
	{"woff", "font/woff"},
	{"woff2", "font/woff2"},
	{"xhtml", "application/xhtml+xml"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"xml", "application/xml"},
	{"xpi", "application/x-xpinstall"},
	{"xsd", "application/xml"},
	{"xsl", "application/xslt+xml"},
	{"xspf", "application/xspf+xml"},
	{"xz", "application/x-xz"},
	{"yaml", "application/yaml"},
	{"yml", "application/yaml"},
	{"z", "application/x-compress"},
	{"zip", "application/zip"},
	{"zst", "application/zstd"},
};

static int row_compare(struct str name, const char *extension)
{
	size_t n = strlen(extension);
	int c = memcmp(name.p, extension, SL_MIN(name.len, n));

	return c ? c : (name.len > n) - (name.len < n);
}

static const char *table_find(struct str name)
{
	size_t low = 0, high = SL_ARRAY_SIZE(mime_table);

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = row_compare(name, mime_table[mid].extension);

		if (c == 0)
			return mime_table[mid].type;
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* The lower-case extension, or the whole name when it has none, in `out`. Empty when there is nothing to find. */
static struct str extension_of(struct str path, char out[MIME_EXTENSION_MAX])
{
	size_t start = path.len;

	while (start > 0 && path.p[start - 1] != '/' && path.p[start - 1] != '.')
		start--;
	struct str name = str_skip(path, start);

	if (name.len > MIME_EXTENSION_MAX)
		return STR_NONE;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	return (struct str){out, name.len};
}

/* RFC 6657 and friends: what people edit as text has a character set; XML and JSON say theirs themselves. */
static bool is_text(struct str type)
{
	return str_starts(type, STR("text/"));
}

struct mime mime_find(const struct files_config *config, struct str path)
{
	char lower[MIME_EXTENSION_MAX];
	struct str name = extension_of(path, lower);

	for (unsigned i = 0; i < config->type_count; i++) {
		if (str_eq_nocase(config->types[i].extension, name))
			return (struct mime){config->types[i].type, false};
	}
	const char *found = name.len ? table_find(name) : NULL;

	if (!found)
		return (struct mime){config->default_type, false};
	struct str type = str_from(found);

	return (struct mime){type, is_text(type)};
}

bool mime_listed(struct str type, const struct str *list, unsigned count)
{
	ptrdiff_t semicolon = str_find_byte(type, ';');

	if (semicolon >= 0)
		type = str_trim(str_head(type, (size_t)semicolon));
	for (unsigned i = 0; i < count; i++) {
		struct str want = list[i];
		bool below = want.len > 0 && want.p[want.len - 1] == '/';

		if (below ? str_starts_nocase(type, want) : str_eq_nocase(type, want))
			return true;
	}
	return false;
}
