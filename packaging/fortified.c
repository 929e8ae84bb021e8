/* What glibc's headers make of fprintf under _FORTIFY_SOURCE, for a C library without it. */
#include <stdarg.h>
#include <stdio.h>

int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
{
	(void)flag;
	va_list arguments;
	va_start(arguments, format);
	int written = vfprintf(stream, format, arguments);
	va_end(arguments);
	return written;
}
